"""What every test may ask for: a migrated database and a Redis, fresh, on servers that the suite starts itself."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.servers import Servers, running_servers


def pytest_configure() -> None:
    # Whoever ends the suite with SIGTERM ends its servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


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
