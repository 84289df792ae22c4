"""Reading, listing, cancelling, retrying and deleting jobs."""

from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.jobs import Job, JobCursor, JobStatus
from domain.sources import SourceKind
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import AttemptRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository
from tests.fixtures.jobs import NO_LIMITS, UPLOAD, backdate, claim_next, end_attempt, get_job, new_run, new_user, submit
from tests.integration.infrastructure.database.buffers import count_buffers


async def test_cancelling_a_pending_job_fails_it_and_deletes_its_upload(database: Database) -> None:
    job = await submit(database, await new_user(database), UPLOAD)
    async with database.unit_of_work() as connection:
        cancelled = await JobRepository(connection).request_cancel(job.job_id)
        assert await connection.scalar(text("SELECT source_metadata ? 'file_data' FROM jobs")) is False
        assert await claim_next(connection, 30) is None
    assert (cancelled.status, cancelled.error_message) == (JobStatus.FAILED, "cancelled by user")
    assert cancelled.finished_at is not None
    assert cancelled.cancel_requested_at is not None


async def test_a_second_cancellation_keeps_the_time_of_the_first(database: Database) -> None:
    await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        held = await claim_next(connection, 30)
        assert held is not None
        first = await jobs.request_cancel(held.job.job_id)
        second = await jobs.request_cancel(held.job.job_id)
    assert first.cancel_requested_at == second.cancel_requested_at


async def test_cancelling_a_finished_job_changes_nothing(database: Database) -> None:
    user_id = await new_user(database)
    await submit(database, user_id)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        held = await claim_next(connection, 30)
        assert held is not None
        run = new_run(user_id, held.job.job_id)
        await end_attempt(connection, held, run)
        job = await jobs.request_cancel(held.job.job_id)
    assert (job.status, job.cancel_requested_at) == (JobStatus.COMPLETED, None)


async def test_an_unknown_job_is_not_found(database: Database) -> None:
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        for question in (jobs.get, jobs.request_cancel, jobs.retry_failed):
            with pytest.raises(NotFoundError, match=r"there is no job a\\x00b"):
                await question("a\x00b")
        assert await jobs.delete("nothing") is False


async def test_a_failed_upload_can_be_retried_with_all_attempts(database: Database) -> None:
    job = await submit(database, await new_user(database), UPLOAD)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        attempts = AttemptRepository(connection)
        held = await claim_next(connection, 30)
        assert held is not None
        await end_attempt(connection, held)
        again = await jobs.retry_failed(job.job_id)
        assert (again.status, again.attempt) == (JobStatus.PENDING, 1)
        assert (again.attempt_errors, again.error_message, again.finished_at) == ((), None, None)
        second = await claim_next(connection, 30)
        assert second is not None
        assert await attempts.upload(job.job_id, second.lease_token, limit=100) == UPLOAD["file_data"]


async def test_a_cancelled_upload_cannot_be_retried(database: Database) -> None:
    job = await submit(database, await new_user(database), UPLOAD)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        await jobs.request_cancel(job.job_id)
        with pytest.raises(InvalidInputError, match="submit it again"):
            await jobs.retry_failed(job.job_id)


async def test_a_cancelled_repository_can_be_retried(database: Database) -> None:
    job = await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        await jobs.request_cancel(job.job_id)
        assert (await jobs.retry_failed(job.job_id)).cancel_requested_at is None
        assert await claim_next(connection, 30) is not None


async def test_a_pending_job_cannot_be_retried(database: Database) -> None:
    job = await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        with pytest.raises(IllegalTransitionError, match="pending"):
            await JobRepository(connection).retry_failed(job.job_id)


async def test_an_unfinished_job_is_not_deleted(database: Database) -> None:
    job = await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        assert await jobs.delete(job.job_id) is False
        await claim_next(connection, 30)
        assert await jobs.delete(job.job_id) is False
    assert (await get_job(database, job.job_id)).status is JobStatus.RUNNING


async def test_list_jobs_returns_the_users_jobs_newest_first_and_filtered(database: Database) -> None:
    user_id, other = await new_user(database), await new_user(database, "b@example.org")
    mine = [await submit(database, user_id) for _ in range(3)]
    await submit(database, other)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        await backdate(connection, "jobs", "job_id", mine[0].job_id, created_at=3600)
        await jobs.request_cancel(mine[1].job_id)
        newest = [mine[2].job_id, mine[1].job_id, mine[0].job_id]
        assert [job.job_id for job in await jobs.list_jobs(user_id)] == newest
        assert [job.job_id for job in await jobs.list_jobs(user_id, limit=2)] == newest[:2]
        failed = await jobs.list_jobs(user_id, status=JobStatus.FAILED)
        assert [job.job_id for job in failed] == [mine[1].job_id]
        assert [job.job_id for job in await jobs.list_jobs(user_id, since=mine[1].created_at)] == newest[:2]


async def test_pages_of_jobs_join_without_gap_or_repetition(database: Database) -> None:
    user_id = await new_user(database)
    await add_finished_jobs(database, user_id, 25)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        # Five jobs at a time have the same `created_at`, and pages of three cut through them.
        whole = await jobs.list_jobs(user_id)
        assert whole == sorted(whole, key=lambda job: (job.created_at, job.job_id), reverse=True)
        listed: list[Job] = []
        after = None
        while page := await jobs.list_jobs(user_id, limit=3, after=after):
            listed += page
            after = page[-1].cursor
            if len(listed) == 6:  # the job that a cursor names may have been deleted
                assert await jobs.delete(page[-1].job_id)
    assert listed == whole
    assert len(listed) == 25


async def test_filters_hold_on_further_pages(database: Database) -> None:
    user_id, other = await new_user(database), await new_user(database, "b@example.org")
    await add_finished_jobs(database, user_id, 25)
    await add_finished_jobs(database, other, 25)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        whole = await jobs.list_jobs(user_id)
        since, after = whole[20].created_at, whole[4].cursor
        found = await jobs.list_jobs(user_id, status=JobStatus.COMPLETED, since=since, after=after)
        assert found == [job for job in whole[5:] if job.created_at >= since]
        assert await jobs.list_jobs(user_id, status=JobStatus.FAILED, after=after) == []
        assert await jobs.list_jobs(user_id, after=whole[-1].cursor) == []
        forged = JobCursor(created_at=since, job_id="\0")
        assert (await jobs.list_jobs(user_id, after=forged))[-1] == whole[-1]


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_page_50_of_jobs_costs_what_page_1_costs(database: Database, plan: str) -> None:
    user_id, other = await new_user(database), await new_user(database, "b@example.org")
    await add_finished_jobs(database, user_id, 5_000)
    await add_finished_jobs(database, other, 5_000)
    async with database.autocommit() as connection:
        await connection.execute(text("VACUUM ANALYZE jobs"))
    async with database.unit_of_work() as connection:
        await connection.execute(text(f"SET LOCAL plan_cache_mode = {plan}"))
        jobs = JobRepository(connection)
        deep = (await jobs.list_jobs(user_id, limit=49 * 50))[-1].cursor
        first = await count_buffers(connection, lambda: jobs.list_jobs(user_id, limit=50))
        fiftieth = await count_buffers(connection, lambda: jobs.list_jobs(user_id, limit=50, after=deep))
    assert fiftieth <= first + 10
    assert first <= 60


async def add_finished_jobs(database: Database, user_id: UUID, count: int) -> None:
    """Insert completed jobs, five each second."""
    async with database.unit_of_work() as connection:
        await connection.execute(
            text(
                """
                INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, finished_at, created_at)
                SELECT gen_random_uuid()::varchar, :user_id, 'completed', 'upload', '{"upload_filename": "a.py"}',
                    now(), now() - make_interval(secs => number / 5)
                FROM generate_series(1, :count) AS number
                """
            ),
            {"user_id": user_id, "count": count},
        )


async def test_an_upload_in_its_own_table_is_kept_by_a_failure_and_deleted_by_an_end(database: Database) -> None:
    user_id = await new_user(database)
    new = NewJob(
        job_id="own", source_kind=SourceKind.UPLOAD, source_metadata={"upload_filename": "a.py"}, upload=b"x = 1\n"
    )
    async with database.unit_of_work() as connection:
        await SubmissionRepository(connection).submit(user_id, [new], NO_LIMITS)
    async with database.unit_of_work() as connection:
        held = await claim_next(connection, 30)
        assert held is not None
        assert held.upload == b"x = 1\n"
        assert await AttemptRepository(connection).upload("own", held.lease_token, limit=100) == "eCA9IDEK"
        await end_attempt(connection, held)
    async with database.unit_of_work() as connection:
        assert (await JobRepository(connection).retry_failed("own")).status is JobStatus.PENDING
        again = await claim_next(connection, 30)
        assert again is not None
        assert again.upload == b"x = 1\n"
        await end_attempt(connection, again, new_run(user_id, "own"))
        assert await connection.scalar(text("SELECT count(*) FROM job_uploads")) == 0
