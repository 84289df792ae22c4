"""Fixtures of the command's tests."""

from collections.abc import Iterator

import pytest

from tests.fixtures.command_server import command_server, quick
from tests.fixtures.servers import temporary_directory
from tests.fixtures.worker_process import System


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    with temporary_directory() as directory, command_server(directory):
        yield


@pytest.fixture
def cli(system: System) -> System:
    """The test's system; its commands run in processes that are forked from the command server."""
    return quick(system)
