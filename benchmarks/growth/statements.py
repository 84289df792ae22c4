"""Buffers of the program's own statements, at so many pending jobs and as many finished ones with their runs.

The exponent says how the buffers grow with the number of rows: 0 is constant, 1 is in proportion. The work of triggers
and foreign keys is not in a plan's buffers.
"""

import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.growth.buffers import Buffers
from domain.jobs import Claim, JobStatus
from domain.plans import PlanLimits, Plans
from domain.sources import SourceKind
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository
from infrastructure.database.server.session_lock import SERVER_START

JOBS_OF_A_USER = 10
BATCH = 20
CHUNK = 500
"""Rows of a cleanup's chunk here, so that the smallest table has a whole one; the program takes ten times as many."""

DAY_SECONDS = 86_400.0

USERS = (
    "INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, CAST(:users AS integer)) number"
)

# Half of the jobs wait, half have ended. One user, the first, has a tenth of those that wait.
PENDING = """
    INSERT INTO jobs (
        job_id, user_id, status, source_kind, source_metadata, turn, small, created_at, updated_at, run_after)
    SELECT md5('p' || number), owner.id, 'pending', 'upload', '{"upload_filename": "a.py"}', 1 + number / :users, true,
        now() - make_interval(secs => :size - number), now() - make_interval(secs => :size - number),
        now() - make_interval(secs => 60)
    FROM generate_series(1, CAST(:size AS integer)) AS number
    JOIN (SELECT id, row_number() OVER (ORDER BY email) AS place FROM users) AS owner
        ON owner.place = CASE WHEN number % 10 = 0 THEN 1 ELSE 1 + number % CAST(:users AS integer) END
"""
RUNS = """
    INSERT INTO analysis_runs (run_id, user_id, submission_type, metrics, job_id, created_at)
    SELECT md5('r' || number)::uuid, owner.id, 'upload', '{}', md5('f' || number),
        now() - make_interval(days => 1, secs => number % (30 * 86400))
    FROM generate_series(1, CAST(:size AS integer)) AS number
    JOIN (SELECT id, row_number() OVER (ORDER BY email) AS place FROM users) AS owner
        ON owner.place = 1 + number % CAST(:users AS integer)
"""
FINISHED = """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, result_run_id, created_at, updated_at,
        finished_at)
    SELECT job_id, user_id, CASE WHEN hashtext(job_id) % 10 = 0 THEN 'failed' ELSE 'completed' END, 'upload',
        '{"upload_filename": "a.py"}', run_id, created_at, created_at, created_at
    FROM analysis_runs
"""


async def fill(engine: AsyncEngine, size: int) -> None:
    """Replace all rows: `size` pending jobs of many users, and `size` finished ones with their runs."""
    users = max(1, size // JOBS_OF_A_USER)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, queue_statistics, notices CASCADE"))
        await connection.execute(text("SELECT setval('queue_turn', 0)"))
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers, no foreign keys
        for statement in (USERS, PENDING, RUNS, FINISHED):
            values = {"users": users, "size": size}
            await connection.execute(
                text(statement), {name: values[name] for name in values if f":{name}" in statement}
            )
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM (ANALYZE) jobs, users, analysis_runs, queue_statistics"))


async def calls(engine: AsyncEngine) -> Mapping[str, Callable[[AsyncConnection], Awaitable[Any]]]:
    """Return the statements to measure by name. Twenty jobs are claimed for those that need claims."""
    async with engine.begin() as connection:
        claims = await ClaimRepository(connection).claim(BATCH, worker_id="bench", lease_seconds=3600)
        owner: UUID = await connection.scalar(text("SELECT id FROM users ORDER BY email LIMIT 1"))
        submitter: UUID = await connection.scalar(text("SELECT id FROM users ORDER BY email DESC LIMIT 1"))
        server: int = await connection.scalar(text(f"SELECT {SERVER_START}"))
        await StatisticsRepository(connection).count_if_due(0)
    states = [LeaseState(job_id=claim.job.job_id, token=claim.lease_token, stage="x") for claim in claims]
    limits = Plans.same(PlanLimits(unfinished_jobs=10**9, jobs_per_day=10**9))
    return {
        "claim of 20": lambda work: ClaimRepository(work).claim(BATCH, worker_id="bench", lease_seconds=30),
        "claim of a small job": lambda work: ClaimRepository(work).claim(
            1, worker_id="bench", lease_seconds=30, only_small=True
        ),
        "turns, none due": lambda work: ClaimRepository(work).assign_turns(1_000),
        "submission with its limits": lambda work: SubmissionRepository(work).submit(submitter, [_new_job()], limits),
        "limits, a user with a tenth of all": lambda work: UsageRepository(work).usage(owner, count_to=6),
        "get": lambda work: JobRepository(work).get(claims[0].job.job_id),
        "list of 50 of that user": lambda work: JobRepository(work).list_jobs(owner, limit=50),
        "list of 20 runs": lambda work: RunRepository(work).list_runs(owner, limit=20),
        "renewal of 20": lambda work: AttemptRepository(work).renew_leases(states, 30),
        "end of 20": lambda work: _end(work, claims),
        "rescue, nothing to do": lambda work: MaintenanceRepository(work).rescue_expired(100),
        "look for a dead worker": lambda work: MaintenanceRepository(work).lockless_workers({"bench": server}),
        "rescue of its 20 jobs": lambda work: MaintenanceRepository(work).rescue_of_worker("bench", 100),
        "cleanup, 500 finished jobs": lambda work: CleanupRepository(work).delete_finished(
            JobStatus.COMPLETED, 6 * 3600, CHUNK
        ),
        "cleanup, 500 stale jobs": lambda work: CleanupRepository(work).fail_stale_pending(1, CHUNK),
        "cleanup, 500 runs": lambda work: CleanupRepository(work).delete_old_runs(6 * 3600, CHUNK),
        "cleanup, nothing stale": lambda work: CleanupRepository(work).fail_stale_pending(365 * DAY_SECONDS, CHUNK),
        "statistics, the count": lambda work: StatisticsRepository(work).count_if_due(0),
        "statistics, read": lambda work: StatisticsRepository(work).read(),
    }


def _new_job() -> NewJob:
    return NewJob(
        job_id=uuid.uuid4().hex,
        source_kind=SourceKind.UPLOAD,
        source_metadata={"upload_filename": "a.py"},
        upload=b"x = 1",
    )


async def _end(work: AsyncConnection, claims: Sequence[Claim]) -> None:
    ends = [AttemptEnd(claim=claim, kind="Bench", message="an end") for claim in claims]
    await AttemptEndRepository(work).end(ends)


async def measure_statements(engine: AsyncEngine, sizes: Sequence[int]) -> None:
    """Print one row a statement."""
    measured: dict[str, list[tuple[int, float]]] = {}
    for size in sizes:
        await fill(engine, size)
        buffers = Buffers(engine)
        for name, call in (await calls(engine)).items():
            measured.setdefault(name, []).append(await buffers.measure(call))
        print(f"{size:,} pending jobs measured", flush=True)
    _print_table(sizes, measured)


def _print_table(sizes: Sequence[int], measured: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Print the buffers at each size, the exponents between the sizes, and the time at the largest."""
    heads = [f"{size:,}" for size in sizes]
    print("| statement | " + " | ".join(heads) + " | exponents | ms at the largest |")
    print("|---|" + "---|" * (len(sizes) + 2))
    for name, results in measured.items():
        counts = [buffers for buffers, _ in results]
        exponents = [
            math.log(max(b, 1) / max(a, 1)) / math.log(sizes[place + 1] / sizes[place])
            for place, (a, b) in enumerate(pairwise(counts))
        ]
        cells = [f"{count:,}" for count in counts]
        shown = ", ".join(f"{exponent:.2f}" for exponent in exponents)
        print(f"| {name} | " + " | ".join(cells) + f" | {shown} | {results[-1][1]:.1f} |")
