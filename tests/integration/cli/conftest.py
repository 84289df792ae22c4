"""Fixtures of the command's tests."""

from pathlib import Path
from uuid import UUID

import pytest

from tests.fixtures.command_server import with_forked_commands
from tests.fixtures.worker_process import System, marked_settings
from tests.integration.cli.command_support import without_services
from worker.client import Client


@pytest.fixture(scope="session", autouse=True)
def commands_of_all_tests(commands: None) -> None:
    """Start the command server: a test that does not ask for `cli` may make a `ForkingSystem` too."""


@pytest.fixture
def cli(system: System) -> System:
    """The test's system; its commands run in processes that are forked from the command server."""
    return with_forked_commands(system)


@pytest.fixture
def no_services(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    """Like `cli`, but without any server."""
    return without_services(tmp_path, **marked_settings(request))


@pytest.fixture
async def local_user(client: Client) -> UUID:
    """The id of the command's default user."""
    return await client.get_or_create_user("local@localhost")
