"""What each request of `/ops` costs, by the buffers of its statements, however many jobs and other rows there are."""

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.growth.pages import costs
from infrastructure.database.connecting import asyncpg_url
from tests.fixtures.worker_process import System

MOST_TIMES = 3
SMALL = 400
"""Buffers that a page of 50 rows may always read; the smallest of the tables has twice as many at the larger size."""

OF_A_USER = 60
"""As many for a page of one user's jobs, whatever else this user has: 3,000 pending jobs at the larger size."""

SIZES = (1_000, 30_000)


async def test_a_request_at_30_000_jobs_costs_no_more_than_at_1_000(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    engine = create_async_engine(asyncpg_url(system.environment["DATABASE_URL"]))
    try:
        few, many = [await costs(engine, size) for size in SIZES]
    finally:
        await engine.dispose()
    assert len(many) >= 40
    before = {name: few[name][0] if name in few else 0 for name in many}
    least = {name: OF_A_USER if "user=USER" in name else SMALL for name in many}
    assert {
        name: (before[name], cost[0])
        for name, cost in many.items()
        if cost[0] > max(least[name], MOST_TIMES * before[name])
    } == {}
