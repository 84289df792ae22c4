from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.servers import temporary_directory
from tests.fixtures.worker_process import System, new_system
from tests.integration.cli.command_server import command_server, quick


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    with temporary_directory() as directory, command_server(directory):
        yield


@pytest.fixture
def system(database_url: str, redis_url: str, tmp_path: Path) -> System:
    return quick(new_system(database_url, redis_url, tmp_path))
