"""Buffers of a claim of 20, rolled back, behind each of the backlogs."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.growth.backlogs import BACKLOGS, fill
from benchmarks.growth.buffers import Buffers
from infrastructure.database.repositories.claims import ClaimRepository

BATCH = 20
MOST_TIMES = 3.0
"""A claim at the largest size may cost so many times what it costs at the smallest."""


async def measure_claims(engine: AsyncEngine, sizes: Sequence[int]) -> bool:
    """Print one row for each backlog; return whether all stay within MOST_TIMES."""
    print(f"| buffers of a claim of {BATCH} | " + " | ".join(f"{size:,}" for size in sizes) + " | largest / smallest |")
    print("|---|" + "---|" * (len(sizes) + 1))
    good = True
    for backlog in BACKLOGS:
        costs = []
        for size in sizes:
            await fill(engine, backlog, size)
            costs.append((await Buffers(engine).measure(_claim))[0])
        times = costs[-1] / costs[0]
        cells = [backlog.name, *(f"{cost:,}" for cost in costs), f"{times:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)
        good = good and times <= MOST_TIMES
    return good


async def _claim(connection: AsyncConnection) -> None:
    await ClaimRepository(connection).claim(BATCH, worker_id="bench", lease_seconds=30)
