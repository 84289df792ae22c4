"""One service and one worker for all tests of a module. Each test has a user of its own."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.fixtures.network.http_service import RunningService, running_service
from tests.fixtures.servers import Servers
from tests.fixtures.worker_process import System, WorkerProcess, new_system
from worker.client import Client


@pytest.fixture(scope="module")
def module_system(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    name = servers.new_database()
    yield new_system(servers.postgres.url(name), servers.new_redis_url(), tmp_path_factory.mktemp("module"))
    servers.drop_database(name)


@pytest.fixture
def system(module_system: System) -> System:
    return module_system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(module_system: System) -> AsyncIterator[RunningService]:
    async with running_service(module_system) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(module_system: System) -> AsyncIterator[WorkerProcess]:
    async with module_system.worker() as running:
        yield running


@pytest.fixture
async def user_id(client: Client) -> UUID:
    return await client.get_or_create_user(f"{uuid4().hex}@example.org")
