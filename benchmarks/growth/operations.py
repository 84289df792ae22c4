"""Times of single operations on large rows and large tables: reads of jobs, counts, cleanup, deletions, a newcomer."""

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.growth.backlogs import BACKLOGS, fill
from benchmarks.growth.statements import RUNS, USERS
from domain.plans import PlanLimits, Plans
from domain.sources import SourceKind
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.cleanup import CleanupCounts
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository
from infrastructure.database.repositories.users import UserRepository
from infrastructure.settings import Settings, load_settings
from worker.client import Client
from worker.jobs.cleanup import cleanup

MB = 1_000_000
REPEATS = 20
USER_JOBS = 200_000
REPLICAS = 2
SAMPLE_SECONDS = 0.05
_OLDEST_TRANSACTION = text("""
    SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
""")
_COUNTERS = text("""
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, deadlocks::float8
    FROM pg_stat_database WHERE datname = current_database()
""")
NO_LIMITS = Plans.same(PlanLimits(unfinished_jobs=10**9, jobs_per_day=10**9))


async def measure_operations(engine: AsyncEngine, url: str, size: int) -> None:
    """Print one row for each operation. `DATABASE_URL` and `REDIS_URL` must be set for the client."""
    print("| operation | measured |")
    print("|---|---|")
    database = Database(create_engine(asyncpg_url(url), pool_size=10))
    try:
        async with Client.open(load_settings()) as client:
            await _reads_of_jobs(database, client, 20, 1)
            await _reads_of_jobs(database, client, 5, 20)
            await _newcomer(engine, database)
            await _statistics(engine, database, size)
            await _stale_backlog(engine, url, size)
            await _retention(engine, url, size)
            await _deletion_of_a_user(engine, client, min(size, USER_JOBS))
    finally:
        await database.close()


async def _reads_of_jobs(database: Database, client: Client, megabytes: int, count: int) -> None:
    user_id = await client.get_or_create_user(f"{megabytes}mb@example.org")
    for _ in range(count):
        job = NewJob(
            job_id=uuid.uuid4().hex,
            source_kind=SourceKind.UPLOAD,
            source_metadata={"upload_filename": "a.zip"},
            upload=uuid.uuid4().bytes * (megabytes * MB // 16),
        )
        async with database.unit_of_work() as work:
            await SubmissionRepository(work).submit(user_id, [job], NO_LIMITS)
    show(f"get_job, upload of {megabytes} MB, p50", await _p50(lambda: client.get_job(user_id, job.job_id)))
    show(f"list_jobs, {count} uploads of {megabytes} MB, p50", await _p50(lambda: client.list_jobs(user_id)))


async def _p50(call: Callable[[], Awaitable[Any]]) -> str:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        await call()
        times.append((time.perf_counter() - started) * 1000)
    return f"{statistics.median(times):.1f} ms (the least: {min(times):.1f})"


async def _newcomer(engine: AsyncEngine, database: Database) -> None:
    """Claim one by one while a newcomer's job stands behind 200 users with 5 jobs each."""
    await _truncate(engine)
    for number in range(200):
        await _submit(database, f"{number}@example.org", 5)
    newcomer = await _submit(database, "newcomer@example.org", 1)
    place = 0
    while True:
        place += 1
        async with database.autocommit() as work:
            (claim,) = await ClaimRepository(work).claim(1, worker_id="bench", lease_seconds=3600)
        if claim.job.user_id == newcomer:
            break
    show("a newcomer behind 200 users with 5 jobs each, place among 1,001", f"{place}")


async def _submit(database: Database, email: str, count: int) -> UUID:
    source = {"git_repo_url": "https://github.com/a/b", "git_branch": None}
    jobs = [
        NewJob(job_id=uuid.uuid4().hex, source_kind=SourceKind.GITHUB, source_metadata=source) for _ in range(count)
    ]
    async with database.unit_of_work() as work:
        user_id = await UserRepository(work).get_or_create(email)
        await SubmissionRepository(work).submit(user_id, jobs, NO_LIMITS)
    return user_id


async def _statistics(engine: AsyncEngine, database: Database, size: int) -> None:
    await fill(engine, BACKLOGS[0], size)
    started = time.perf_counter()
    async with database.unit_of_work() as work:
        await StatisticsRepository(work).count_if_due(0)
    show(f"count of {size:,} jobs, by one replica each 10 s", f"{time.perf_counter() - started:.2f} s")
    async with database.unit_of_work() as work:
        show("statistics as the others read them, p50", await _p50(StatisticsRepository(work).read))


async def _stale_backlog(engine: AsyncEngine, url: str, size: int) -> None:
    """Fail `size` stale pending jobs with REPLICAS cleanups at the same time."""
    await fill(engine, BACKLOGS[0], size)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE jobs SET run_after = now() - interval '3 days'"))
    settings = load_settings()
    async with _measured(engine) as measured:
        counts = await asyncio.gather(*(_cleanup(url, settings) for _ in range(REPLICAS)))
    show(f"cleanup of {size:,} stale pending jobs, {REPLICAS} replicas", measured())
    show("  cleaned by each", ", ".join(f"{count.stale_pending:,}" for count in counts))


async def _retention(engine: AsyncEngine, url: str, size: int) -> None:
    await _truncate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text(USERS), {"users": 1000})
        await connection.execute(text(RUNS), {"users": 1000, "size": size})
        await connection.execute(text("UPDATE analysis_runs SET created_at = created_at - interval '60 days'"))
    settings = load_settings().model_copy(update={"run_retention_days": 30})
    async with _measured(engine) as measured:
        await _cleanup(url, settings)
    show(f"retention of {size:,} runs", measured())


async def _deletion_of_a_user(engine: AsyncEngine, client: Client, size: int) -> None:
    await _truncate(engine)
    user_id = await client.get_or_create_user("hog@example.org")
    async with engine.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, turn)
                SELECT md5('d' || number), :id, 'pending', 'upload', '{"upload_filename": "a.py"}', number
                FROM generate_series(1, CAST(:size AS integer)) AS number
            """),
            {"id": user_id, "size": size},
        )
    async with _measured(engine) as measured:
        await client.delete_user(user_id)
    show(f"delete_user with {size:,} jobs", measured())


async def _cleanup(url: str, settings: Settings) -> CleanupCounts:
    database = Database(create_engine(asyncpg_url(url)))
    try:
        return await cleanup(database, settings)
    finally:
        await database.close()


@asynccontextmanager
async def _measured(engine: AsyncEngine) -> AsyncIterator[Callable[[], str]]:
    """Measure the block: seconds, WAL, the longest transaction, deadlocks; the yielded function tells them."""
    seen: dict[str, float] = {"longest": 0.0}

    async def sample() -> None:
        async with engine.connect() as connection:
            watching = await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                age = await watching.scalar(_OLDEST_TRANSACTION)
                seen["longest"] = max(seen["longest"], age or 0.0)
                await asyncio.sleep(SAMPLE_SECONDS)

    before, started = await _counters(engine), time.perf_counter()
    sampling = asyncio.create_task(sample())
    try:
        yield lambda: _sentence(seen)
    finally:
        seen["seconds"] = time.perf_counter() - started
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        after = await _counters(engine)
        seen["wal"], seen["deadlocks"] = after[0] - before[0], after[1] - before[1]


def _sentence(seen: dict[str, float]) -> str:
    times = f"{seen['seconds']:.1f} s, longest transaction {seen['longest']:.1f} s"
    return f"{times}, WAL {seen['wal'] / MB:,.0f} MB, {seen['deadlocks']:.0f} deadlocks"


async def _counters(engine: AsyncEngine) -> tuple[float, float]:
    async with engine.connect() as connection:
        row = (await connection.execute(_COUNTERS)).one()
    return float(row[0]), float(row[1])


async def _truncate(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, queue_statistics, notices CASCADE"))
        await connection.execute(text("SELECT setval('queue_turn', 1, false)"))


def show(name: str, value: str) -> None:
    """Print one row."""
    print(f"| {name} | {value} |", flush=True)
