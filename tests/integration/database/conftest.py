from collections.abc import AsyncIterator

import pytest

from infrastructure.database.address import asyncpg_url
from infrastructure.database.engine import Database, create_engine


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(create_engine(asyncpg_url(database_url), pool_size=20, max_overflow=60))
    yield opened
    await opened.close()
