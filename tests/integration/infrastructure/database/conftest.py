from collections.abc import AsyncIterator

import pytest

from infrastructure.database.engine import Database, create_engine
from infrastructure.database.urls import asyncpg_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(create_engine(asyncpg_url(database_url), pool_size=20, max_overflow=60))
    yield opened
    await opened.close()
