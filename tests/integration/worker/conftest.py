from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.worker import System, WorkerProcess, new_system
from worker.client import Client


@pytest.fixture
def system(database_url: str, redis_url: str, tmp_path: Path) -> System:
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
    async with system.worker() as worker:
        yield worker
