from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.command_server import command_server, quick
from tests.support.servers import temporary_directory
from tests.support.worker import System, new_system


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    with temporary_directory() as directory, command_server(directory):
        yield


@pytest.fixture
def system(database_url: str, redis_url: str, tmp_path: Path) -> System:
    return quick(new_system(database_url, redis_url, tmp_path))
