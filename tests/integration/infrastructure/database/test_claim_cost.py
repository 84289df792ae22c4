"""What a claim of 20 jobs costs, by the buffers it reads, however many jobs wait and whoever's they are."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.growth.backlogs import BACKLOGS, Backlog, fill
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.repositories.claims import ClaimRepository
from tests.integration.infrastructure.database.buffers import count_buffers

MOST_TIMES = 3
CLAIMED = 20


async def cost_of_a_claim(engine: AsyncEngine, *, only_small: bool) -> int:
    """Return the buffers of a claim of 20 that is rolled back, and check that it would have claimed 20."""
    claimed: list[int] = []
    async with engine.connect() as connection:

        async def claim() -> None:
            claims = await ClaimRepository(connection).claim(
                CLAIMED, worker_id="w", lease_seconds=30, only_small=only_small
            )
            claimed.append(len(claims))

        buffers = await count_buffers(connection, claim)
        await connection.rollback()
    assert claimed == [CLAIMED]
    return buffers


async def compare(url: str, backlog: Backlog, sizes: tuple[int, int]) -> None:
    """Compare the costs of claims of any jobs, and of small jobs, at both sizes."""
    engine = create_async_engine(asyncpg_url(url))
    try:
        costs = []
        for size in sizes:
            await fill(engine, backlog, size)
            costs.append([await cost_of_a_claim(engine, only_small=small) for small in (False, True)])
        for few, many in zip(*costs, strict=True):
            assert many <= MOST_TIMES * few, costs
    finally:
        await engine.dispose()


backlogs = pytest.mark.parametrize("backlog", BACKLOGS, ids=lambda backlog: backlog.name)


@backlogs
async def test_a_claim_at_50_000_pending_jobs_costs_at_most_3_times_one_at_1_000(
    database_url: str, backlog: Backlog
) -> None:
    await compare(database_url, backlog, (1_000, 50_000))


@pytest.mark.slow
@backlogs
async def test_a_claim_at_1_000_000_pending_jobs_costs_at_most_3_times_one_at_1_000(
    database_url: str, backlog: Backlog
) -> None:
    await compare(database_url, backlog, (1_000, 1_000_000))
