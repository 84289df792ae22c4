"""Changes of many rows, a chunk at a time, each chunk in a transaction of its own."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import TransientError
from infrastructure.database.engine import Database

CHUNK_ROWS = 5_000
SMALLEST_CHUNK_ROWS = 50
"""Rows with large documents or uploads may need smaller chunks than CHUNK_ROWS to stay below the statement timeout."""

CHUNK_SECONDS = 2.0
"""After a chunk that took longer, the next has half as many rows: old snapshots delay VACUUM, and locks other jobs."""


class Chunk(Protocol):
    """The result of one chunk."""

    @property
    def rows(self) -> int:
        """Number of rows that were changed."""
        ...


AnyChunk = TypeVar("AnyChunk", bound=Chunk)


async def in_chunks(
    database: Database, change: Callable[[AsyncConnection, int], Awaitable[AnyChunk]]
) -> AsyncIterator[AnyChunk]:
    """Call `change` with a limit of rows until it changes fewer, and yield each result after its commit.

    A chunk that fails is tried again with a tenth of the rows; after a slow one they are smaller. Raises
    ServiceUnavailableError when the smallest fails too; the chunks before it stay committed.
    """
    limit = CHUNK_ROWS
    while True:
        started = time.monotonic()
        try:
            async with database.unit_of_work() as work:
                chunk = await change(work, limit)
        except TransientError:
            if limit <= SMALLEST_CHUNK_ROWS:
                raise
            limit = max(SMALLEST_CHUNK_ROWS, limit // 10)
            continue
        elapsed = time.monotonic() - started
        yield chunk
        if chunk.rows < limit:
            return
        if elapsed > CHUNK_SECONDS:
            limit = max(SMALLEST_CHUNK_ROWS, limit // 2)
