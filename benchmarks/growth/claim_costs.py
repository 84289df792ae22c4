"""What a claim of 20 costs behind each of the backlogs: its buffers, and its times with many claimers at once."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.growth.backlogs import BACKLOGS, Backlog, fill
from benchmarks.growth.buffers import Buffers
from benchmarks.growth.claimers import BATCH, Claims, claim_in_processes
from infrastructure.database.repositories.claims import ClaimRepository

MOST_TIMES = 3.0
"""A claim at the largest size may cost so many times what it costs at the smallest."""


async def measure_claims(
    engine: AsyncEngine, url: str, sizes: tuple[int, int], claimers: Sequence[int], claims: int
) -> bool:
    """Print a row for each backlog and number of claimers.

    Returns whether every claim of BATCH costs at most MOST_TIMES as many buffers at the larger size as at the smaller
    one, and no claim of the claimers was cancelled, or empty while jobs were due. The claimers run one number after the
    other on the larger backlog, so its head holds the dead entries of those before.
    """
    few, many = (f"{size:,}" for size in sizes)
    print(f"| claims of {BATCH} | buffers at {few} | at {many} | times | claimers | p50 ms | p99 | slowest | jobs/s | "
          "empty | cancelled |")  # fmt: skip
    print("|" + "---|" * 11)
    good = True
    for backlog in BACKLOGS:
        costs = [await _buffers(engine, backlog, size) for size in sizes]
        good = good and costs[1] <= MOST_TIMES * costs[0]
        for number in claimers:
            started = time.perf_counter()
            done = await asyncio.to_thread(claim_in_processes, url, number, claims)
            _print_row(backlog, costs, number, done, time.perf_counter() - started)
            good = good and not done.empty and not done.cancelled
    return good


async def _buffers(engine: AsyncEngine, backlog: Backlog, size: int) -> int:
    await fill(engine, backlog, size)
    return (await Buffers(engine).measure(_claim))[0]


async def _claim(connection: AsyncConnection) -> None:
    await ClaimRepository(connection).claim(BATCH, worker_id="bench", lease_seconds=30)


def _print_row(backlog: Backlog, costs: Sequence[int], claimers: int, done: Claims, took: float) -> None:
    ranks = statistics.quantiles(done.milliseconds, n=100, method="inclusive")
    times = (ranks[49], ranks[98], max(done.milliseconds))
    cells = [backlog.name, *(f"{cost:,}" for cost in costs), f"{costs[1] / costs[0]:.2f}", str(claimers)]
    cells += [*(f"{milliseconds:.1f}" for milliseconds in times), f"{done.jobs / took:,.0f}"]
    print("| " + " | ".join([*cells, str(done.empty), str(done.cancelled)]) + " |", flush=True)
