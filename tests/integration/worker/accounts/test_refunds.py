"""Refunds: a job that failed through the fleet's fault does not count for its owner's month, once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import LimitExceededError, TokenLostError
from domain.jobs import MAX_ATTEMPTS, Claim, JobStatus
from domain.plans import PlanLimits, Plans
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository
from infrastructure.database.repositories.attempts import AttemptRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.jobs import claim_next, end_attempt, get_job, new_run, new_user, submit
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client

TOKEN_LOST = TokenLostError.__name__


async def execute(database: Database, query: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(query), values)


async def counted(database: Database) -> dict[str, int]:
    """Return the analyses of all months, by user and month."""
    async with database.unit_of_work() as work:
        rows = await work.execute(
            text("SELECT email, analyses_count FROM usage_tracking JOIN users ON users.id = user_id ORDER BY email")
        )
        return {row.email: row.analyses_count for row in rows}


async def claim(database: Database) -> Claim:
    await execute(database, "UPDATE jobs SET run_after = now() WHERE status = 'pending'")
    async with database.unit_of_work() as work:
        held = await claim_next(work)
    assert held is not None
    return held


async def fail_attempts(database: Database, count: int = MAX_ATTEMPTS, *, our_fault: bool) -> None:
    """Fail so many attempts of the next job."""
    for _ in range(count):
        held = await claim(database)
        async with database.unit_of_work() as work:
            await AttemptRepository(work).retry_later(
                held.job.job_id, held.lease_token, "KeyError", "internal error", delay_seconds=0, our_fault=our_fault
            )


async def lose_worker(database: Database) -> None:
    """Lose the worker in each attempt of the next job."""
    for _ in range(MAX_ATTEMPTS):
        await claim(database)
        await execute(database, "UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE status = 'running'")
        async with database.unit_of_work() as work:
            assert len(await MaintenanceRepository(work).rescue_expired(10)) == 1


async def lose_token(database: Database) -> None:
    held = await claim(database)
    async with database.unit_of_work() as work:
        await end_attempt(work, held, kind=TOKEN_LOST, message="token lost, submit again")


async def leave_pending(database: Database) -> None:
    await execute(database, "UPDATE jobs SET run_after = now() - interval '2 days'")
    async with database.unit_of_work() as work:
        assert (await CleanupRepository(work).fail_stale_pending(86_400, 10)).rows == 1


async def leave_running(database: Database) -> None:
    await claim(database)
    await execute(database, "UPDATE jobs SET started_at = now() - interval '1 day', lease_expires_at = NULL")
    async with database.unit_of_work() as work:
        assert (await CleanupRepository(work).fail_stale_running(7_200, 10)).rows == 1


FAULTS: dict[str, Callable[[Database], Awaitable[None]]] = {
    "worker lost": lose_worker,
    "internal error": lambda database: fail_attempts(database, our_fault=True),
    "token lost": lose_token,
    "never claimed": leave_pending,
    "never ended": leave_running,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_job_that_fails_through_our_fault_is_refunded(database: Database, fault: str) -> None:
    other = await new_user(database, "b@example.org")
    finished = await submit(database, other)
    await execute(database, "UPDATE jobs SET status = 'completed'")
    job = await submit(database, await new_user(database))
    await FAULTS[fault](database)
    ended = await get_job(database, job.job_id)
    assert ended.status is JobStatus.FAILED
    assert ended.refunded_at == ended.finished_at
    assert (await get_job(database, finished.job_id)).refunded_at is None
    assert await counted(database) == {"a@example.org": 0, "b@example.org": 1}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_job_is_refunded_once_however_often_it_is_tried_again(database: Database, fault: str) -> None:
    user_id = await new_user(database)
    job = await submit(database, user_id)
    await FAULTS[fault](database)
    first = (await get_job(database, job.job_id)).refunded_at
    await execute(database, "UPDATE usage_tracking SET analyses_count = 5")
    async with database.unit_of_work() as work:
        await JobRepository(work).retry_failed(job.job_id)
    await FAULTS[fault](database)
    ended = await get_job(database, job.job_id)
    assert (ended.status, ended.refunded_at) == (JobStatus.FAILED, first)
    assert await counted(database) == {"a@example.org": 5}


async def test_what_is_not_our_fault_is_not_refunded(database: Database) -> None:
    user_id = await new_user(database)
    jobs = [await submit(database, user_id)]
    await fail_attempts(database, our_fault=False)
    jobs.append(await submit(database, user_id))
    held = await claim(database)
    async with database.unit_of_work() as work:
        await end_attempt(work, held, kind="InvalidInputError", message="not a zip")
    jobs.append(await submit(database, user_id))
    held = await claim(database)
    async with database.unit_of_work() as work:
        await end_attempt(work, held, new_run(user_id, held.job.job_id))
    jobs.append(await submit(database, user_id))
    async with database.unit_of_work() as work:
        await JobRepository(work).request_cancel(jobs[-1].job_id)
    assert [(await get_job(database, job.job_id)).refunded_at for job in jobs] == [None] * 4
    assert await counted(database) == {"a@example.org": 4}


@pytest.mark.parametrize("fault", ["worker lost", "internal error", "token lost", "never ended"])
async def test_a_cancelled_job_is_not_refunded(database: Database, fault: str) -> None:
    await submit(database, await new_user(database))
    held = await claim(database)
    await execute(database, "UPDATE jobs SET cancel_requested_at = now(), attempt_errors = '[{}, {}]'")
    async with database.unit_of_work() as work:
        if fault == "worker lost":
            await work.execute(text("UPDATE jobs SET lease_expires_at = now() - interval '1 s'"))
            await MaintenanceRepository(work).rescue_expired(10)
        elif fault == "internal error":
            await AttemptRepository(work).retry_later(
                held.job.job_id, held.lease_token, "x", "x", delay_seconds=0, our_fault=True
            )
        elif fault == "token lost":
            await end_attempt(work, held, kind=TOKEN_LOST, message="token lost, submit again")
        else:
            await work.execute(text("UPDATE jobs SET started_at = now() - interval '1 day', lease_expires_at = NULL"))
            await CleanupRepository(work).fail_stale_running(7_200, 10)
    async with database.unit_of_work() as work:
        row = (await work.execute(text("SELECT status, refunded_at FROM jobs"))).one()
    assert (row.status, row.refunded_at) == ("failed", None)
    assert await counted(database) == {"a@example.org": 1}


async def test_attempts_before_the_last_refund_nothing(database: Database) -> None:
    job = await submit(database, await new_user(database))
    await fail_attempts(database, MAX_ATTEMPTS - 1, our_fault=True)
    assert (await get_job(database, job.job_id)).refunded_at is None
    assert await counted(database) == {"a@example.org": 1}


async def test_a_refund_goes_to_the_month_of_the_submission(database: Database) -> None:
    user_id = await new_user(database)
    job = await submit(database, user_id)
    await submit(database, user_id)
    await execute(
        database, "UPDATE jobs SET created_at = '2026-02-01 00:20:00+00:30' WHERE job_id = :id", id=job.job_id
    )
    await execute(
        database,
        """
        INSERT INTO usage_tracking (user_id, month_year, analyses_count)
        VALUES (:id, '2026-02', 7), (:id, '2026-01', 7)
        """,
        id=user_id,
    )
    await execute(database, "UPDATE jobs SET run_after = now() - interval '2 days' WHERE job_id = :id", id=job.job_id)
    async with database.unit_of_work() as work:
        assert (await CleanupRepository(work).fail_stale_pending(86_400, 10)).rows == 1
        query = "SELECT analyses_count FROM usage_tracking ORDER BY month_year"
        assert (await work.scalars(text(query))).all() == [6, 7, 2]


async def test_a_refund_without_a_month_or_below_zero_changes_nothing(database: Database) -> None:
    """As for jobs of the release before, and for months that cleanup has deleted."""
    for count in (0, None):
        await submit(database, await new_user(database))
        change = "DELETE FROM usage_tracking" if count is None else "UPDATE usage_tracking SET analyses_count = 0"
        await execute(database, change)
        await lose_token(database)
        assert await counted(database) == ({} if count is None else {"a@example.org": 0})


async def test_a_refunded_analysis_can_be_used_again(database: Database) -> None:
    user_id, plans = await new_user(database), Plans.same(PlanLimits(analyses_per_month=1))
    await submit(database, user_id, limits=plans)
    with pytest.raises(LimitExceededError):
        await submit(database, user_id, limits=plans)
    await lose_token(database)
    await submit(database, user_id, limits=plans)
    with pytest.raises(LimitExceededError):
        await submit(database, user_id, limits=plans)


async def test_one_batch_of_ends_refunds_each_of_its_lost_tokens(database: Database) -> None:
    users = [await new_user(database, f"{name}@example.org") for name in "abc"]
    claims = []
    for number in range(9):
        await submit(database, users[number % 3])
        claims.append(await claim(database))
    ends = [
        AttemptEnd(claim=held, kind=TOKEN_LOST if held.job.user_id != users[1] else "InvalidInputError", message="x")
        for held in claims
    ]
    async with database.unit_of_work() as work:
        await AttemptEndRepository(work).end(ends)
    async with database.unit_of_work() as work:  # the answer to the first commit was lost
        await AttemptEndRepository(work).end(ends)
    assert await counted(database) == {"a@example.org": 0, "b@example.org": 3, "c@example.org": 0}


async def test_refunds_of_many_users_at_once_wait_for_each_other_and_end(database: Database) -> None:
    """Batches of ends with the same users in another order, beside submissions of these users."""
    users = [await new_user(database, f"{number}@example.org") for number in range(6)]
    for number in range(60):
        await submit(database, users[number % 6])
    claims = [await claim(database) for _ in range(60)]
    batches = [claims[first::10] for first in range(10)]

    async def end(batch: list[Claim], *, backwards: bool) -> None:
        ordered = list(reversed(batch)) if backwards else batch
        async with database.unit_of_work() as work:
            ends = [AttemptEnd(claim=held, kind=TOKEN_LOST, message="x") for held in ordered]
            await AttemptEndRepository(work).end(ends)

    await asyncio.gather(
        *(end(batch, backwards=number % 2 == 0) for number, batch in enumerate(batches)),
        *(submit(database, user) for user in users * 5),
    )
    assert await counted(database) == {f"{number}@example.org": 5 for number in range(6)}


async def test_a_job_whose_token_is_lost_is_refunded_by_a_worker(
    system: System, client: Client, user_id: UUID, redis: Redis
) -> None:
    job = await client.submit_repository(user_id, url="https://github.com/owner/private", token="a token")
    await redis.delete(f"vibe8:token:{job.job_id}")
    assert (await client.usage.get(user_id)).usage.analyses == 1
    async with system.worker(STATUS_PORT="0"):

        async def ended() -> bool:
            return (await client.get_job(user_id, job.job_id)).status.finished

        await until(ended)
    found = await client.get_job(user_id, job.job_id)
    assert (found.error_message, found.refunded_at is not None) == ("token lost, submit again", True)
    assert (await client.usage.get(user_id)).usage.analyses == 0


def end_of(held: Claim) -> Callable[[AsyncConnection], Awaitable[Any]]:
    return lambda work: AttemptEndRepository(work).end([AttemptEnd(claim=held, kind=TOKEN_LOST, message="x")])


async def test_no_refund_reads_all_of_100_000_months(database: Database) -> None:
    user_id = await new_user(database)
    await submit(database, user_id)
    held = await claim(database)
    for query in (
        "INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, 5000) AS number",
        """
        INSERT INTO usage_tracking (user_id, month_year, analyses_count)
        SELECT id, to_char(now() AT TIME ZONE 'UTC' - make_interval(months => number), 'YYYY-MM'), 5
        FROM users, generate_series(1, 20) AS number
        """,
        "ANALYZE users, usage_tracking, jobs",
    ):
        await execute(database, query)
    calls: dict[str, Callable[[AsyncConnection], Awaitable[Any]]] = {
        "end": end_of(held),
        "retry": lambda work: AttemptRepository(work).retry_later(
            held.job.job_id, held.lease_token, "x", "x", delay_seconds=0, our_fault=True
        ),
        "rescue": lambda work: MaintenanceRepository(work).rescue_expired(100),
        "stale pending": lambda work: CleanupRepository(work).fail_stale_pending(86_400, 5_000),
        "stale running": lambda work: CleanupRepository(work).fail_stale_running(7_200, 5_000),
    }
    for name, call in calls.items():
        plan = await plans_of(database, call)
        assert "usage_tracking" in plan, name
        assert "Seq Scan on usage_tracking" not in plan, (name, plan)
