"""One service and one worker for all tests of a module. Each test has a user of its own."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.network.http_service import ALL, RunningService, new_key, running_service
from tests.fixtures.servers import Servers
from tests.fixtures.worker_process import System, WorkerProcess, new_system
from worker.client import Client


@pytest.fixture(scope="module")
def module_system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    name = servers.new_database()
    yield new_system(servers.postgres.url(name), servers.new_redis_url(), tmp_path_factory.mktemp("module"))
    servers.drop_database(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_service(module_system: System) -> AsyncIterator[RunningService]:
    async with running_service(module_system) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_worker(module_system: System) -> AsyncIterator[WorkerProcess]:
    async with module_system.worker() as running:
        yield running


@pytest.fixture
async def module_client(module_system: System) -> AsyncIterator[Client]:
    async with CheckedClient.open(module_system.settings) as client:
        yield client


@pytest.fixture
async def own_user(module_client: Client) -> UUID:
    return await module_client.get_or_create_user(f"{uuid4().hex}@example.org")


@pytest.fixture
async def own_key(module_client: Client, own_user: UUID) -> str:
    """An API key of the test's user, with every permission."""
    return await new_key(module_client, own_user, ALL)
