"""Cleanup in chunks: what it deletes and fails, and how several workers and crashes share its work."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.errors import LeaseLostError, ServiceUnavailableError
from domain.jobs import Claim, JobStatus
from infrastructure.database import chunks
from infrastructure.database.engine import Database
from infrastructure.database.repositories.cleanup import CleanupCounts, CleanupRepository, Slot, SlotRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.settings import Settings
from tests.fixtures.jobs import UPLOAD, backdate, claim_next, get_job, new_run, new_user, submit
from tests.fixtures.worker_process import System
from tests.integration.infrastructure.database.buffers import count_buffers
from worker.jobs import cleanup as cleanup_module
from worker.jobs.cleanup import cleanup as run_cleanup
from worker.jobs.cleanup import cleanup_once_per_slot

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def settings(system: System) -> Settings:
    return system.settings.model_copy(
        update={
            "completed_job_retention": 6 * HOUR,
            "stale_job_threshold": 2 * HOUR,
            "pending_job_max_age": DAY,
            "run_retention_days": 30,
        }
    )


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    return 100


async def claim(database: Database) -> Claim:
    async with database.unit_of_work() as connection:
        held = await claim_next(connection, 30)
    assert held is not None
    return held


async def insert_stale(database: Database, count: int, *, status: str = "pending") -> UUID:
    """Insert jobs that have been due, or finished, for two days."""
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        await connection.execute(
            text("""
                INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, run_after, updated_at, turn)
                SELECT md5(number::text || CAST(:status AS varchar)), :user_id, CAST(:status AS varchar), 'upload',
                    CAST(:metadata AS jsonb), now() - interval '2 days', now() - interval '2 days', number
                FROM generate_series(1, CAST(:count AS integer)) AS number
            """),
            {"user_id": user_id, "count": count, "status": status, "metadata": json.dumps(UPLOAD)},
        )
    return user_id


async def count_jobs(database: Database, status: str) -> int:
    async with database.unit_of_work() as connection:
        query = text("SELECT count(*) FROM jobs WHERE status = :status")
        return int(await connection.scalar(query, {"status": status}) or 0)


class WorkerDiedError(Exception):
    """Stands for the death of a worker."""


async def test_cleanup_deletes_only_jobs_that_finished_long_ago(database: Database, settings: Settings) -> None:
    user_id = await new_user(database)
    old, recent, pending, running = [await submit(database, user_id) for _ in range(4)]
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        await jobs.request_cancel(old.job_id)
        await jobs.request_cancel(recent.job_id)
        await backdate(connection, "jobs", "job_id", old.job_id, updated_at=6 * HOUR + 1)
        await backdate(connection, "jobs", "job_id", recent.job_id, updated_at=6 * HOUR - 60)
        for job in (pending, running):
            await backdate(connection, "jobs", "job_id", job.job_id, updated_at=23 * HOUR, created_at=23 * HOUR)
        await claim_next(connection, 30)
    assert await run_cleanup(database, settings) == CleanupCounts(deleted=1, stale_running=0, stale_pending=0)
    async with database.unit_of_work() as connection:
        left = set((await connection.scalars(text("SELECT job_id FROM jobs"))).all())
    assert left == {recent.job_id, pending.job_id, running.job_id}


async def test_cleanup_fails_jobs_that_run_too_long_without_a_lease(database: Database, settings: Settings) -> None:
    user_id = await new_user(database)
    leased, lost, leaseless = [(await submit(database, user_id)).job_id for _ in range(3)]
    for _ in range(3):
        await claim(database)
    async with database.unit_of_work() as connection:
        for job_id in (leased, lost, leaseless):
            await backdate(connection, "jobs", "job_id", job_id, started_at=2 * HOUR + 1)
        await backdate(connection, "jobs", "job_id", lost, lease_expires_at=31)
        await connection.execute(
            text("UPDATE jobs SET lease_expires_at = NULL, lease_token = NULL WHERE job_id = :id"), {"id": leaseless}
        )
    assert await run_cleanup(database, settings) == CleanupCounts(deleted=0, stale_running=2, stale_pending=0)
    assert (await get_job(database, leased)).status is JobStatus.RUNNING
    for job_id in (lost, leaseless):
        job = await get_job(database, job_id)
        assert (job.status, job.error_message) == (JobStatus.FAILED, "stale")
        assert job.finished_at is not None


async def test_cleanup_fails_jobs_that_have_been_due_too_long(database: Database, settings: Settings) -> None:
    user_id = await new_user(database)
    forgotten, waiting, retried = [await submit(database, user_id, UPLOAD) for _ in range(3)]
    async with database.unit_of_work() as connection:
        await backdate(connection, "jobs", "job_id", forgotten.job_id, run_after=DAY + 1)
        await backdate(connection, "jobs", "job_id", waiting.job_id, run_after=DAY - 60)
        await backdate(connection, "jobs", "job_id", retried.job_id, created_at=48 * HOUR)  # due since its retry
    assert await run_cleanup(database, settings) == CleanupCounts(deleted=0, stale_running=0, stale_pending=1)
    assert (await get_job(database, forgotten.job_id)).error_message == "stale"
    assert (await get_job(database, retried.job_id)).status is JobStatus.PENDING


async def test_cleanup_deletes_usage_and_slots_older_than_a_week(database: Database, settings: Settings) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        for days in (0, 7, 8):
            await connection.execute(
                text("INSERT INTO daily_usage VALUES (:id, (now() AT TIME ZONE 'UTC')::date - CAST(:days AS int), 1)"),
                {"id": user_id, "days": days},
            )
            await connection.execute(
                text("INSERT INTO cron_slots VALUES ('c', now() - make_interval(days => :days, mins => -5))"),
                {"days": days},
            )
    await run_cleanup(database, settings)
    async with database.unit_of_work() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM daily_usage")) == 2
        assert await connection.scalar(text("SELECT count(*) FROM cron_slots")) == 2


async def test_cost_of_cleaning_usage_and_deliveries_does_not_grow_with_the_rows_that_stay(database: Database) -> None:
    async def cost(users: int) -> list[int]:
        async with database.unit_of_work() as connection:
            await connection.execute(text(KEPT_USERS), {"count": users, "host": f"{users}.example"})
            for statement in KEPT_ROWS:
                await connection.execute(text(statement), {"host": f"%@{users}.example"})
        async with database.autocommit() as connection:
            await connection.execute(text("VACUUM ANALYZE daily_usage, notices"))
        async with database.unit_of_work() as connection:
            repository = CleanupRepository(connection)
            return [
                await count_buffers(connection, lambda: repository.delete_old_usage(100)),
                await count_buffers(connection, lambda: repository.delete_ended_deliveries(HOUR, 100)),
            ]

    few, many = await cost(500), await cost(10_000)
    assert all(after <= 3 * before + 10 for before, after in zip(few, many, strict=True)), (few, many)


KEPT_USERS = """
    INSERT INTO users (email)
    SELECT n || '@' || CAST(:host AS varchar) FROM generate_series(1, CAST(:count AS integer)) AS n
"""
KEPT_ROWS = (
    """
    INSERT INTO daily_usage SELECT id, (now() AT TIME ZONE 'UTC')::date - day, 1
    FROM users, generate_series(0, 3) AS day WHERE email LIKE :host
    """,
    """
    INSERT INTO notices (job_id, user_id, url, status, finished_at, delivered_at)
    SELECT id, id, 'https://example.org', 'completed', now(), now() FROM users WHERE email LIKE :host
    """,
)


async def test_cleanup_deletes_runs_older_than_the_retention(database: Database, settings: Settings) -> None:
    user_id = await new_user(database)
    old, young = new_run(user_id, "old"), new_run(user_id, "young")
    job = await submit(database, user_id)
    async with database.unit_of_work() as connection:
        await RunRepository(connection).insert_many([SerializedRun.of(old), SerializedRun.of(young)])
        await backdate(connection, "analysis_runs", "run_id", old.run_id, created_at=30 * DAY + 1)
        await backdate(connection, "analysis_runs", "run_id", young.run_id, created_at=30 * DAY - 60)
        await connection.execute(text("UPDATE jobs SET result_run_id = :id"), {"id": old.run_id})
    await run_cleanup(database, settings.model_copy(update={"run_retention_days": None}))
    async with database.unit_of_work() as connection:
        assert await RunRepository(connection).count(user_id) == 2
    await run_cleanup(database, settings)
    async with database.unit_of_work() as connection:
        assert [run.run_id for run in await RunRepository(connection).list_runs(user_id, limit=9)] == [young.run_id]
    assert (await get_job(database, job.job_id)).result_run_id is None


async def test_old_runs_are_deleted_while_their_jobs_change_without_a_deadlock(database: Database) -> None:
    """Deleting a run changes the job that refers to it; other statements lock the same jobs in the order of ids."""
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        runs = [SerializedRun.of(new_run(user_id, f"job{number}")) for number in range(400)]
        await RunRepository(connection).insert_many(runs)
        await connection.execute(
            text("""
                INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, result_run_id)
                SELECT md5(job_id), user_id, 'running', 'upload', '{}', run_id FROM analysis_runs
            """)
        )

    async def delete_runs() -> int:
        rows = 0
        for _ in range(20):
            async with database.unit_of_work() as connection:
                rows += (await CleanupRepository(connection).delete_old_runs(-1, 20)).rows
        return rows

    async def change_jobs() -> int:
        for _ in range(20):
            async with database.unit_of_work() as connection:
                jobs = JobRepository(connection)
                ids = await jobs.select_ids(user_id, [JobStatus.RUNNING], since=None, limit=400)
                await jobs.cancel_all(ids)
        return 0

    done = await asyncio.gather(*(delete_runs() for _ in range(3)), *(change_jobs() for _ in range(3)))
    assert sum(done) == 400


@pytest.mark.usefixtures("small_chunks")
async def test_cleanup_that_is_interrupted_keeps_what_it_has_done(database: Database, settings: Settings) -> None:
    await insert_stale(database, 1_000)
    done = 0

    async def interrupt() -> None:
        nonlocal done
        done += 1
        if done == 5:
            raise WorkerDiedError

    with pytest.raises(WorkerDiedError):
        await run_cleanup(database, settings, after_chunk=interrupt)
    assert await count_jobs(database, "failed") == 200  # three steps before had nothing to do
    assert (await run_cleanup(database, settings)).stale_pending == 800
    assert await count_jobs(database, "failed") == 1_000


@pytest.mark.usefixtures("small_chunks")
async def test_two_cleanups_at_once_share_the_rows(database: Database, settings: Settings) -> None:
    await insert_stale(database, 3_000)
    await insert_stale(database, 3_000, status="completed")
    with capture_logs() as log:
        both = await asyncio.gather(*(run_cleanup(database, settings) for _ in range(2)))
    assert sum(counts.deleted for counts in both) == 3_000
    assert sum(counts.stale_pending for counts in both) == 3_000
    failed = [entry["job_id"] for entry in log if entry["event"] == "job.failed"]
    assert len(failed) == len(set(failed)) == 3_000


@pytest.mark.usefixtures("small_chunks")
async def test_no_transaction_of_a_cleanup_changes_more_than_a_chunk(database: Database, settings: Settings) -> None:
    await insert_stale(database, 950)
    await run_cleanup(database, settings)
    async with database.unit_of_work() as connection:
        sizes = (await connection.scalars(text("SELECT count(*) FROM jobs GROUP BY xmin::text ORDER BY 1"))).all()
    assert sizes == [50, *[100] * 9]


@pytest.mark.usefixtures("small_chunks")
async def test_rows_that_another_transaction_holds_are_left_for_the_next_cleanup(
    database: Database, settings: Settings
) -> None:
    await insert_stale(database, 250)
    async with database.unit_of_work() as connection:
        await connection.execute(text("SELECT 1 FROM jobs ORDER BY job_id LIMIT 7 FOR UPDATE"))
        counts = await asyncio.wait_for(run_cleanup(database, settings), 10)
        assert counts.stale_pending == 243
    assert (await run_cleanup(database, settings)).stale_pending == 7


async def test_step_that_fails_undoes_no_other(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_stale(database, 10)
    await insert_stale(database, 10, status="failed")

    async def time_out(*_: Any) -> None:
        raise ServiceUnavailableError("canceling statement due to statement timeout")

    monkeypatch.setattr(CleanupRepository, "fail_stale_running", time_out)
    with capture_logs() as log, pytest.raises(ServiceUnavailableError):
        await run_cleanup(database, settings)
    assert [entry["step"] for entry in log if entry["event"] == "cleanup.step_failed"] == ["stale_running"]
    assert await count_jobs(database, "pending") == 0
    assert await count_jobs(database, "failed") == 10  # the other ten were deleted


async def test_chunk_that_times_out_is_tried_again_with_fewer_rows(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_stale(database, 1_200)
    fail_stale_pending, limits = CleanupRepository.fail_stale_pending, []

    async def time_out_when_large(self: CleanupRepository, age: float, limit: int) -> Any:
        limits.append(limit)
        if limit > 500:
            raise ServiceUnavailableError("canceling statement due to statement timeout")
        return await fail_stale_pending(self, age, limit)

    monkeypatch.setattr(CleanupRepository, "fail_stale_pending", time_out_when_large)
    assert (await run_cleanup(database, settings)).stale_pending == 1_200
    assert limits == [5_000, 500, 500, 500]


@pytest.mark.usefixtures("small_chunks")
async def test_worker_that_dies_in_a_slot_is_followed_by_another(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_stale(database, 1_000)
    confirm, confirmed = SlotRepository.confirm, 0

    async def die(self: SlotRepository, slot: Slot) -> Slot | None:
        nonlocal confirmed
        confirmed += 1
        if confirmed == 6:
            raise WorkerDiedError
        return await confirm(self, slot)

    with monkeypatch.context() as patch:
        patch.setattr(SlotRepository, "confirm", die)
        with pytest.raises(WorkerDiedError):
            await cleanup_once_per_slot(database, settings)
    assert await count_jobs(database, "pending") == 700
    await cleanup_once_per_slot(database, settings)  # too early: the first worker may be alive
    assert await count_jobs(database, "pending") == 700
    async with database.unit_of_work() as connection:
        lease = cleanup_module.SLOT_LEASE_SECONDS
        await connection.execute(
            text("UPDATE cron_slots SET claimed_at = claimed_at - make_interval(secs => :age)"), {"age": lease + 1}
        )
    await asyncio.gather(*(cleanup_once_per_slot(database, settings) for _ in range(3)))
    assert await count_jobs(database, "pending") == 0
    await insert_stale(database, 1, status="completed")
    await cleanup_once_per_slot(database, settings)
    assert await count_jobs(database, "completed") == 1  # the slot is completed


async def test_worker_that_lost_its_slot_stops(database: Database, settings: Settings) -> None:
    slot = await take(database)
    assert slot is not None
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE cron_slots SET claimed_at = now() - interval '1 hour'"))
    assert await take(database) is not None
    async with database.unit_of_work() as connection:
        assert await SlotRepository(connection).confirm(slot) is None
    with pytest.raises(LeaseLostError):
        await cleanup_module._SlotHolder(database, slot).confirm()


async def take(database: Database, name: str = "cleanup") -> Slot | None:
    async with database.unit_of_work() as connection:
        return await SlotRepository(connection).take(name, period_seconds=6 * HOUR, lease_seconds=60)


async def test_one_of_many_takes_a_slot_and_tasks_have_separate_slots(database: Database) -> None:
    taken = [slot for slot in await asyncio.gather(*(take(database) for _ in range(20))) if slot is not None]
    assert [(slot.start.hour % 6, slot.start.minute, slot.start.second) for slot in taken] == [(0, 0, 0)]
    assert await take(database, "other") is not None


async def test_the_next_slot_can_be_taken_again(database: Database) -> None:
    slot = await take(database)
    assert slot is not None
    async with database.unit_of_work() as connection:
        await SlotRepository(connection).complete(slot)
        await connection.execute(text("UPDATE cron_slots SET claimed_at = now() - interval '1 hour'"))
    assert await take(database) is None
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE cron_slots SET slot = slot - interval '6 hours'"))
    assert await take(database) is not None
    assert await take(database) is None
