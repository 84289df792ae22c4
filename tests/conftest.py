"""What every test may ask for: a migrated database and a Redis, fresh, on servers that the suite starts itself."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from tests.fixtures.servers import Servers, running_servers
from tests.fixtures.tcp_proxy import Cable, cable
from tests.fixtures.worker_process import System, WorkerProcess, new_system
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


@pytest.fixture
async def cables(database_url: str, redis_url: str) -> AsyncIterator[tuple[Cable, Cable]]:
    """Between the test's own system and a second one: to PostgreSQL, and to Redis; each can be cut and mended."""
    redis, directory = urlsplit(redis_url), parse_qs(urlsplit(database_url).query)["host"][0]
    async with (
        cable(f"{directory}/.s.PGSQL.5432") as to_postgresql,
        cable((str(redis.hostname), int(redis.port or 0))) as to_redis,
    ):
        yield to_postgresql, to_redis


@pytest.fixture
def far(database_url: str, redis_url: str, cables: tuple[Cable, Cable], tmp_path: Path) -> System:
    """The same system, reached through the cables."""
    redis, (to_postgresql, to_redis) = urlsplit(redis_url), cables
    return new_system(
        f"postgresql://postgres@127.0.0.1:{to_postgresql.port}{urlsplit(database_url).path}",
        f"redis://:{redis.password}@127.0.0.1:{to_redis.port}{redis.path}",
        tmp_path,
    )
