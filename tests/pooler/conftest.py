"""A PgBouncer for each test, and the test's system behind it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import asyncpg
import pytest

from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine, time_limits
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.servers import Servers, in_thread, temporary_directory
from tests.fixtures.worker_process import System
from tests.pooler.pgbouncer import PgBouncer
from worker.client import Client

StartPooler = Callable[..., PgBouncer]


@pytest.fixture
def start_pooler(servers: Servers) -> Iterator[StartPooler]:
    """Start a PgBouncer with these settings; it is stopped at the end of the test."""
    with ExitStack() as stack:

        def start(**options: object) -> PgBouncer:
            directory = stack.enter_context(temporary_directory())
            pooler = PgBouncer(directory / "pgbouncer", servers.postgres.url(), **options)
            stack.callback(pooler.stop)
            pooler.start()
            return pooler

        yield start


@pytest.fixture
def pooler(start_pooler: StartPooler) -> PgBouncer:
    """A PgBouncer with two connections to PostgreSQL."""
    return start_pooler()


@pytest.fixture
def limited_database_url(database_url: str) -> str:
    """The test's database; its sessions have the time limits that the pages tell to set."""

    async def set_limits() -> None:
        connection = await asyncpg.connect(database_url)
        role = f"ALTER ROLE postgres IN DATABASE {database_name(database_url)}"
        for name, milliseconds in time_limits().items():
            await connection.execute(f"{role} SET {name} = {milliseconds}")
        await connection.close()

    in_thread(set_limits())
    return database_url


@pytest.fixture
def pooled_url(pooler: PgBouncer, limited_database_url: str) -> str:
    """Address of the test's database behind the PgBouncer."""
    return pooler.url(database_name(limited_database_url))


@pytest.fixture
def pooled_system(system: System, pooled_url: str) -> System:
    """The test's system, set up for the PgBouncer."""
    return system.with_settings(DATABASE_URL=pooled_url, DB_POOLER="transaction")


@pytest.fixture
def pooled_git_system(pooled_system: System, git_server: GitServer) -> System:
    """The system behind the PgBouncer, with the git host allowed and its certificate trusted."""
    return pooled_system.with_settings(GIT_ALLOWED_HOSTS=git_server.allowed_host, GIT_CA_BUNDLE=str(git_server.ca_file))


@pytest.fixture
async def pooled_client(pooled_git_system: System) -> AsyncIterator[Client]:
    async with Client.open(pooled_git_system.settings) as opened:
        yield opened


@pytest.fixture
async def pooled_database(pooled_url: str) -> AsyncIterator[Database]:
    """The test's database behind the PgBouncer, with more connections than that has to PostgreSQL."""
    opened = open_pooled(pooled_url)
    yield opened
    await opened.close()


def open_pooled(url: str) -> Database:
    return Database(create_engine(asyncpg_url(url), pool_size=8, pooled=True), pooled=True)


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
