"""What every test may ask for: a migrated database and a Redis, fresh, on servers that the suite starts itself."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.servers import Servers, running_servers
from tests.support.worker import System, WorkerProcess, new_system
from worker.client import Client


def pytest_configure() -> None:
    # Whoever ends the suite with SIGTERM ends its servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Started in the background, it may have inherited that these are ignored, and so would every process under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with running_servers() as running:
        yield running


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """`postgresql://` address of a migrated, empty database of this test alone."""
    name = servers.new_database()
    yield servers.postgres.url(name)
    servers.drop_database(name)


@pytest.fixture
def empty_database_url(servers: Servers) -> Iterator[str]:
    """`postgresql://` address of a database without any table."""
    name = servers.new_database(template=None)
    yield servers.postgres.url(name)
    servers.drop_database(name)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """`redis://` address of an empty numbered database of this test alone (channels are shared)."""
    return servers.new_redis_url()


@pytest.fixture
def system(database_url: str, redis_url: str, tmp_path: Path) -> System:
    """The settings that every process of the test shares."""
    return new_system(database_url, redis_url, tmp_path)


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    async with Client.open(system.settings) as client:
        yield client


@pytest.fixture
async def user_id(client: Client) -> UUID:
    return await client.get_or_create_user("ann@example.org")


@pytest.fixture
async def worker(system: System) -> AsyncIterator[WorkerProcess]:
    """A real worker process."""
    async with system.worker() as worker:
        yield worker
