"""Claims, leases and the writes of an attempt."""

import asyncio
import uuid
from collections import Counter

import pytest
from sqlalchemy import text

from domain.errors import LeaseLostError
from domain.jobs import Claim, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import EndResult
from infrastructure.database.repositories.attempts import CANCELLED, AttemptRepository, LeaseState
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.jobs import UPLOAD, backdate, claim_next, end_attempt, get_job, new_run, new_user, submit


async def claim(database: Database) -> Claim | None:
    async with database.unit_of_work() as connection:
        return await claim_next(connection, 30)


async def claimed(database: Database, metadata: dict[str, object] | None = None) -> Claim:
    await submit(database, await new_user(database), metadata)
    found = await claim(database)
    assert found is not None
    return found


async def finish(database: Database, held: Claim) -> bool:
    run = new_run(held.job.user_id, held.job.job_id)
    async with database.unit_of_work() as connection:
        return await end_attempt(connection, held, run) is EndResult.WRITTEN


async def test_a_claim_starts_an_attempt_under_a_lease(database: Database) -> None:
    held = await claimed(database)
    job = await get_job(database, held.job.job_id)
    assert held.job == job
    assert (job.status, job.attempt, job.progress, job.stage) == (JobStatus.RUNNING, 1, 0, None)
    assert job.started_at is not None
    async with database.unit_of_work() as connection:
        left = await connection.scalar(text("SELECT extract(epoch FROM lease_expires_at - started_at) FROM jobs"))
    assert left == 30


async def test_claim_returns_none_if_no_job_is_due(database: Database) -> None:
    assert await claim(database) is None
    held = await claimed(database)
    assert await claim(database) is None
    async with database.unit_of_work() as connection:
        await AttemptRepository(connection).retry_later(
            held.job.job_id, held.lease_token, "network", "no route", delay_seconds=60
        )
    assert await claim(database) is None  # pending, but not due yet


async def test_concurrent_claims_never_return_the_same_job(database: Database) -> None:
    user_id = await new_user(database)
    submitted = [(await submit(database, user_id)).job_id for _ in range(30)]
    got = await asyncio.gather(*(claim(database) for _ in range(40)))
    jobs = [held.job.job_id for held in got if held is not None]
    assert sorted(jobs) == sorted(submitted)
    assert len({held.lease_token for held in got if held is not None}) == 30


async def test_a_job_locked_by_another_claim_is_skipped_without_waiting(database: Database) -> None:
    user_id = await new_user(database)
    first, second = await submit(database, user_id), await submit(database, user_id)
    async with database.unit_of_work() as one, database.unit_of_work() as other:
        held = [await claim_next(each, 30) for each in (one, other, other)]
    assert [each and each.job.job_id for each in held] == [first.job_id, second.job_id, None]


async def test_a_user_with_one_job_does_not_wait_for_a_user_with_two_hundred(database: Database) -> None:
    many, few = await new_user(database), await new_user(database, "b@example.org")
    for _ in range(200):
        await submit(database, many)
    await submit(database, few)
    owners = []
    for _ in range(4):
        held = await claim(database)
        assert held is not None
        owners.append(held.job.user_id)
    assert owners == [many, few, many, many]  # then the oldest, since no other user waits


async def test_of_jobs_with_one_turn_the_oldest_is_claimed_first(database: Database) -> None:
    user_id = await new_user(database)
    jobs = [await submit(database, user_id) for _ in range(3)]
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE jobs SET turn = 7"))
        await backdate(connection, "jobs", "job_id", jobs[2].job_id, created_at=60)
    order = [await claim(database) for _ in range(3)]
    assert [held and held.job.job_id for held in order] == [jobs[2].job_id, jobs[0].job_id, jobs[1].job_id]


async def test_only_the_lease_holder_can_read_the_upload(database: Database) -> None:
    held = await claimed(database, UPLOAD)
    assert "file_data" not in held.job.source_metadata
    async with database.unit_of_work() as connection:
        attempts = AttemptRepository(connection)
        assert await attempts.upload(held.job.job_id, held.lease_token, limit=100) == UPLOAD["file_data"]
        with pytest.raises(LeaseLostError):
            await attempts.upload(held.job.job_id, uuid.uuid4(), limit=100)


async def test_completion_links_the_run_and_deletes_the_upload(database: Database) -> None:
    held = await claimed(database, UPLOAD)
    assert await finish(database, held)
    job = await get_job(database, held.job.job_id)
    assert (job.status, job.progress, job.error_message) == (JobStatus.COMPLETED, 100, None)
    assert job.finished_at is not None
    async with database.unit_of_work() as connection:
        assert (await RunRepository(connection).get(job.result_run_id or uuid.uuid4())).job_id == job.job_id
        stored = await connection.scalar(text("SELECT source_metadata FROM jobs"))
        assert stored == {"upload_filename": "a.py", "project_name": "P"}


async def test_every_write_under_a_lost_lease_is_refused(database: Database) -> None:
    old = await claimed(database)
    async with database.unit_of_work() as connection:
        await backdate(connection, "jobs", "job_id", old.job.job_id, lease_expires_at=31)
        assert len(await MaintenanceRepository(connection).rescue_expired(10)) == 1
    second = await claim(database)
    assert second is not None
    assert second.job.job_id == old.job.job_id
    before = await get_job(database, old.job.job_id)
    job_id, token = old.job.job_id, old.lease_token
    async with database.unit_of_work() as connection:
        attempts = AttemptRepository(connection)
        assert await end_attempt(connection, old, new_run(old.job.user_id, job_id)) is EndResult.LOST
        assert await end_attempt(connection, old) is EndResult.LOST
        assert await attempts.retry_later(job_id, token, "x", "x", delay_seconds=0) is None
        assert await attempts.requeue(job_id, token) is None
        assert await attempts.renew_leases([LeaseState(job_id=job_id, token=token)], 30) == {}
        assert await attempts.check_leases([LeaseState(job_id=job_id, token=token)]) == {}
    assert await get_job(database, job_id) == before
    assert await finish(database, second)


async def test_a_second_result_of_a_completed_job_is_refused_with_its_run(database: Database) -> None:
    held = await claimed(database)
    assert await finish(database, held)
    assert not await finish(database, held)
    async with database.unit_of_work() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM analysis_runs")) == 1


async def test_concurrent_completions_leave_one_run(database: Database) -> None:
    held = await claimed(database)
    results = await asyncio.gather(*(finish(database, held) for _ in range(10)))
    assert Counter(results) == {True: 1, False: 9}


async def test_a_heartbeat_renews_many_leases_and_writes_their_progress(database: Database) -> None:
    user_id = await new_user(database)
    for _ in range(3):
        await submit(database, user_id)
    held = [await claim(database) for _ in range(3)]
    states = [
        LeaseState(job_id=each.job.job_id, token=each.lease_token, stage="lint" if at else None, progress=at * 10)
        for at, each in enumerate(held)
        if each is not None
    ]
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        attempts = AttemptRepository(connection)
        await backdate(connection, "jobs", "job_id", states[0].job_id, lease_expires_at=25)
        await jobs.request_cancel(states[1].job_id)
        gone = LeaseState(job_id=states[2].job_id, token=uuid.uuid4())
        answer = await attempts.renew_leases([*states[:2], gone], 30)
        assert answer == {states[0].token: False, states[1].token: True}
        assert await attempts.check_leases(states) == {
            states[0].token: False,
            states[1].token: True,
            states[2].token: False,
        }
        renewed = await connection.scalar(
            text("SELECT count(*) FROM jobs WHERE lease_expires_at > statement_timestamp() + interval '29 seconds'")
        )
        assert renewed == 3  # the third lease is still that of its claim
    job = await get_job(database, states[1].job_id)
    assert (job.stage, job.progress) == ("lint", 10)


async def test_renewing_or_checking_no_leases_returns_nothing(database: Database) -> None:
    async with database.unit_of_work() as connection:
        assert await AttemptRepository(connection).renew_leases([], 30) == {}
        assert await AttemptRepository(connection).check_leases([]) == {}


async def test_the_third_failed_attempt_fails_the_job_and_every_error_is_recorded(database: Database) -> None:
    held: Claim | None = await claimed(database, UPLOAD)
    assert held is not None
    job_id, outcomes = held.job.job_id, []
    for number in (1, 2, 3):
        assert held is not None
        async with database.unit_of_work() as connection:
            released = await AttemptRepository(connection).retry_later(
                held.job.job_id, held.lease_token, "network", f"fault\n{number}", delay_seconds=0
            )
        assert released is not None
        outcomes.append(released.status)
        held = await claim(database)
    assert outcomes == [JobStatus.PENDING, JobStatus.PENDING, JobStatus.FAILED]
    assert held is None
    async with database.unit_of_work() as connection:
        job = await JobRepository(connection).get(job_id)
        kept = await connection.scalar(text("SELECT source_metadata ? 'file_data' FROM jobs"))
    assert [(error.attempt, error.kind, error.message) for error in job.attempt_errors] == [
        (1, "network", "fault 1"),
        (2, "network", "fault 2"),
        (3, "network", "fault 3"),
    ]
    assert all(error.at.tzinfo is not None for error in job.attempt_errors)
    assert (job.status, job.error_message, job.attempt) == (JobStatus.FAILED, "fault 3", 3)
    assert kept is True  # so that its owner can retry the job


async def test_a_retried_job_is_not_claimed_before_its_delay_is_over(database: Database) -> None:
    held = await claimed(database)
    async with database.unit_of_work() as connection:
        await AttemptRepository(connection).retry_later(held.job.job_id, held.lease_token, "x", "x", delay_seconds=60)
        waits = await connection.scalar(text("SELECT run_after - statement_timestamp() > interval '59 s' FROM jobs"))
        assert waits is True
        await backdate(connection, "jobs", "job_id", held.job.job_id, run_after=61)
    assert await claim(database) is not None


async def test_requeue_records_no_failed_attempt_and_never_lowers_the_count(database: Database) -> None:
    held: Claim | None = await claimed(database)
    for number in range(1, 6):
        assert held is not None
        assert held.job.attempt == number
        async with database.unit_of_work() as connection:
            released = await AttemptRepository(connection).requeue(held.job.job_id, held.lease_token)
        assert released is not None
        assert released.status is JobStatus.PENDING
        held = await claim(database)
    assert held is not None
    assert held.job.attempt_errors == ()


async def test_a_permanent_error_fails_the_job_and_keeps_the_upload(database: Database) -> None:
    held = await claimed(database, UPLOAD)
    async with database.unit_of_work() as connection:
        result = await end_attempt(connection, held, kind="InvalidInputError", message="not a\x00zip")
        assert result is EndResult.WRITTEN
        assert await connection.scalar(text("SELECT source_metadata ? 'file_data' FROM jobs")) is True
    job = await get_job(database, held.job.job_id)
    assert (job.status, job.error_message, len(job.attempt_errors)) == (JobStatus.FAILED, "not a\\x00zip", 1)


async def test_failing_as_cancelled_deletes_the_upload(database: Database) -> None:
    held = await claimed(database, UPLOAD)
    async with database.unit_of_work() as connection:
        await end_attempt(connection, held, message=CANCELLED)
        assert await connection.scalar(text("SELECT source_metadata ? 'file_data' FROM jobs")) is False


async def test_a_cancelled_job_cannot_complete(database: Database) -> None:
    held = await claimed(database)
    async with database.unit_of_work() as connection:
        assert (await JobRepository(connection).request_cancel(held.job.job_id)).status is JobStatus.RUNNING
    async with database.unit_of_work() as connection:
        run = new_run(held.job.user_id, held.job.job_id)
        assert await end_attempt(connection, held, run) is EndResult.CANCELLED
        assert await connection.scalar(text("SELECT count(*) FROM analysis_runs")) == 0
    job = await get_job(database, held.job.job_id)
    assert (job.status, job.error_message) == (JobStatus.FAILED, CANCELLED)


async def test_a_cancelled_job_is_neither_retried_nor_requeued_nor_rescued(database: Database) -> None:
    endings = []
    for way in ("retry", "requeue", "rescue"):
        held = await claimed(database, UPLOAD)
        async with database.unit_of_work() as connection:
            jobs = JobRepository(connection)
            maintenance = MaintenanceRepository(connection)
            attempts = AttemptRepository(connection)
            await jobs.request_cancel(held.job.job_id)
            if way == "retry":
                await attempts.retry_later(held.job.job_id, held.lease_token, "x", "x", delay_seconds=0)
            elif way == "requeue":
                released = await attempts.requeue(held.job.job_id, held.lease_token)
                assert released is not None
                assert released.status is JobStatus.FAILED
            else:
                await backdate(connection, "jobs", "job_id", held.job.job_id, lease_expires_at=31)
                await maintenance.rescue_expired(1)
        job = await get_job(database, held.job.job_id)
        endings.append((job.status, job.error_message, job.finished_at is not None))
    assert endings == [(JobStatus.FAILED, "cancelled by user", True)] * 3
    async with database.unit_of_work() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM jobs WHERE source_metadata ? 'file_data'")) == 0


async def test_deleting_a_user_ends_the_leases_of_their_jobs(database: Database) -> None:
    held = await claimed(database)
    async with database.unit_of_work() as connection:
        await UserRepository(connection).delete(held.job.user_id, 100)
    async with database.unit_of_work() as connection:
        state = LeaseState(job_id=held.job.job_id, token=held.lease_token)
        assert await AttemptRepository(connection).check_leases([state]) == {}
    assert not await finish(database, held)
