"""Many claimers at once on a backlog: how long a claim takes, and whether one is cancelled or comes back empty."""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from domain.errors import TransientError
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine
from infrastructure.database.repositories.claims import ClaimRepository

BATCH = 20
PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Claims:
    """What some claimers did: the milliseconds of each claim, and numbers of claims."""

    milliseconds: list[float]
    jobs: int
    empty: int
    cancelled: int


def claim_in_processes(url: str, claimers: int, claims: int) -> Claims:
    """Let so many claimers in several processes claim so many times together."""
    processes = min(PROCESSES, claimers)
    shares = [claimers // processes + (number < claimers % processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        done = list(pool.map(_claim_in_process, [url] * processes, shares, [claims // claimers] * processes))
    return Claims(
        [each for claims in done for each in claims.milliseconds],
        sum(claims.jobs for claims in done),
        sum(claims.empty for claims in done),
        sum(claims.cancelled for claims in done),
    )


def _claim_in_process(url: str, claimers: int, claims: int) -> Claims:
    return asyncio.run(_claim(url, claimers, claims))


async def _claim(url: str, claimers: int, claims: int) -> Claims:
    """Let so many claimers claim so many times each, with the program's own time limits, and commit."""
    database = Database(create_engine(asyncpg_url(url), pool_size=claimers, max_overflow=0))
    milliseconds: list[float] = []
    jobs: list[int] = []
    cancelled: list[str] = []

    async def claimer() -> None:
        for _ in range(claims):
            started = time.perf_counter()
            try:
                async with database.autocommit() as work:
                    claimed = await ClaimRepository(work).claim(BATCH, worker_id="bench", lease_seconds=3600)
            except TransientError as error:
                cancelled.append(str(error))
                continue
            milliseconds.append((time.perf_counter() - started) * 1000)
            jobs.append(len(claimed))

    await asyncio.gather(*(claimer() for _ in range(claimers)))
    await database.close()
    return Claims(milliseconds, sum(jobs), jobs.count(0), len(cancelled))
