"""Changes of many rows in chunks: how large the next chunk is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from unittest.mock import Mock

import pytest

from domain.errors import TransientError
from infrastructure.database import chunks


@dataclass(frozen=True)
class Rows:
    rows: int


@dataclass
class Table:
    """Rows that are changed at a given rate; a chunk of more than `most` fails."""

    left: int
    seconds_per_row: float = 0.0
    most: int = chunks.CHUNK_ROWS
    now: float = 0.0

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[None]:
        yield

    async def change(self, _: object, limit: int) -> Rows:
        if limit > self.most:
            raise TransientError("too slow")
        done = min(limit, self.left)
        self.left -= done
        self.now += done * self.seconds_per_row
        return Rows(done)


async def sizes(monkeypatch: pytest.MonkeyPatch, table: Table) -> list[int]:
    monkeypatch.setattr(chunks, "time", Mock(monotonic=lambda: table.now))
    found = [chunk.rows async for chunk in chunks.in_chunks(table, table.change)]  # type: ignore[arg-type]
    assert table.left == 0
    return found


async def test_chunks_stay_large_while_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await sizes(monkeypatch, Table(12_000)) == [5_000, 5_000, 2_000]


async def test_chunks_become_smaller_until_they_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await sizes(monkeypatch, Table(12_000, seconds_per_row=0.001)) == [5_000, 2_500, *[1_250] * 3, 750]


async def test_chunk_that_fails_is_tried_with_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await sizes(monkeypatch, Table(700, most=500)) == [500, 200]


async def test_error_of_the_smallest_chunk_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError):
        await sizes(monkeypatch, Table(700, most=10))
