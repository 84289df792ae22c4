"""Rescue, lost wake-ups, cleanup, statistics and cron slots."""

import asyncio

from sqlalchemy import text

from domain.jobs import Claim, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import CleanupCounts, MaintenanceRepository, RescuedJob
from tests.fixtures.jobs import UPLOAD, backdate, claim_next, get_job, new_user, submit

HOUR = 3600


async def claimed(database: Database) -> Claim:
    async with database.unit_of_work() as connection:
        held = await claim_next(connection, 30)
    assert held is not None
    return held


async def rescue(database: Database, limit: int = 100) -> list[RescuedJob]:
    async with database.unit_of_work() as connection:
        return await MaintenanceRepository(connection).rescue_expired(limit)


async def expire_lease(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as connection:
        await backdate(connection, "jobs", "job_id", job_id, lease_expires_at=31)


async def test_a_job_with_a_valid_lease_is_not_rescued(database: Database) -> None:
    await submit(database, await new_user(database))
    await claimed(database)
    assert await rescue(database) == []


async def test_a_rescue_is_a_failed_attempt_and_the_third_fails_the_job(database: Database) -> None:
    job = await submit(database, await new_user(database))
    rescued = []
    for _ in range(3):
        await claimed(database)
        await expire_lease(database, job.job_id)
        rescued += [(each.status, each.error_message, each.worker_id) for each in await rescue(database)]
    assert rescued == [
        (JobStatus.PENDING, None, "test"),
        (JobStatus.PENDING, None, "test"),
        (JobStatus.FAILED, "worker lost", "test"),
    ]
    after = await get_job(database, job.job_id)
    assert (after.status, after.error_message) == (JobStatus.FAILED, "worker lost")
    assert [error.kind for error in after.attempt_errors] == ["worker lost"] * 3


async def test_concurrent_rescues_take_each_job_once(database: Database) -> None:
    user_id = await new_user(database)
    for _ in range(20):
        job = await submit(database, user_id)
        await claimed(database)
        await expire_lease(database, job.job_id)
    rescued = [each for found in await asyncio.gather(*(rescue(database, 4) for _ in range(10))) for each in found]
    rescued += await rescue(database)
    assert len(rescued) == 20
    assert len({each.job_id for each in rescued}) == 20


async def cleanup(database: Database) -> CleanupCounts:
    async with database.unit_of_work() as connection:
        return await MaintenanceRepository(connection).cleanup(
            retention=6 * HOUR, stale=2 * HOUR, pending_max_age=24 * HOUR
        )


async def test_cleanup_deletes_only_jobs_that_finished_long_ago(database: Database) -> None:
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
    assert await cleanup(database) == CleanupCounts(deleted=1, stale_running=0, stale_pending=0)
    async with database.unit_of_work() as connection:
        left = set((await connection.scalars(text("SELECT job_id FROM jobs"))).all())
    assert left == {recent.job_id, pending.job_id, running.job_id}


async def test_cleanup_fails_jobs_that_run_too_long_without_a_lease(database: Database) -> None:
    user_id = await new_user(database)
    leased, lost, leaseless = [(await submit(database, user_id)).job_id for _ in range(3)]
    for _ in range(3):
        await claimed(database)
    async with database.unit_of_work() as connection:
        for job_id in (leased, lost, leaseless):
            await backdate(connection, "jobs", "job_id", job_id, started_at=2 * HOUR + 1)
        await backdate(connection, "jobs", "job_id", lost, lease_expires_at=31)
        await connection.execute(
            text("UPDATE jobs SET lease_expires_at = NULL, lease_token = NULL WHERE job_id = :id"), {"id": leaseless}
        )
    assert await cleanup(database) == CleanupCounts(deleted=0, stale_running=2, stale_pending=0)
    assert (await get_job(database, leased)).status is JobStatus.RUNNING
    for job_id in (lost, leaseless):
        job = await get_job(database, job_id)
        assert (job.status, job.error_message) == (JobStatus.FAILED, "stale")
        assert job.finished_at is not None


async def test_cleanup_fails_jobs_that_have_been_due_too_long(database: Database) -> None:
    user_id = await new_user(database)
    forgotten, waiting, retried = [await submit(database, user_id, UPLOAD) for _ in range(3)]
    async with database.unit_of_work() as connection:
        await backdate(connection, "jobs", "job_id", forgotten.job_id, run_after=24 * HOUR + 1)
        await backdate(connection, "jobs", "job_id", waiting.job_id, run_after=24 * HOUR - 60)
        await backdate(connection, "jobs", "job_id", retried.job_id, created_at=48 * HOUR)  # due since its retry
    assert await cleanup(database) == CleanupCounts(deleted=0, stale_running=0, stale_pending=1)
    assert (await get_job(database, forgotten.job_id)).error_message == "stale"
    assert (await get_job(database, retried.job_id)).status is JobStatus.PENDING


async def test_cleanup_deletes_usage_and_slots_older_than_a_week(database: Database) -> None:
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
    await cleanup(database)
    async with database.unit_of_work() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM daily_usage")) == 2
        assert await connection.scalar(text("SELECT count(*) FROM cron_slots")) == 2


async def test_statistics_give_the_count_and_the_oldest_age_of_every_state(database: Database) -> None:
    user_id = await new_user(database)
    jobs = [await submit(database, user_id) for _ in range(3)]
    await claimed(database)
    async with database.unit_of_work() as connection:
        await backdate(connection, "jobs", "job_id", jobs[2].job_id, created_at=HOUR)
        counts = await MaintenanceRepository(connection).statistics()
    assert {status: count.jobs for status, count in counts.items()} == {
        JobStatus.PENDING: 2,
        JobStatus.RUNNING: 1,
        JobStatus.COMPLETED: 0,
        JobStatus.FAILED: 0,
    }
    assert HOUR <= counts[JobStatus.PENDING].oldest_seconds < 2 * HOUR
    assert counts[JobStatus.COMPLETED].oldest_seconds == 0


async def test_one_of_many_takes_a_slot_and_tasks_have_separate_slots(database: Database) -> None:
    async def take(name: str) -> bool:
        async with database.unit_of_work() as connection:
            slot = await MaintenanceRepository(connection).take_slot(name, 6 * HOUR)
        assert slot is None or (slot.hour % 6, slot.minute, slot.second) == (0, 0, 0)
        return slot is not None

    assert sum(await asyncio.gather(*(take("cleanup") for _ in range(20)))) == 1
    assert await take("other") is True


async def test_the_next_slot_can_be_taken_again(database: Database) -> None:
    async with database.unit_of_work() as connection:
        maintenance = MaintenanceRepository(connection)
        assert await maintenance.take_slot("cleanup", 6 * HOUR) is not None
        await connection.execute(text("UPDATE cron_slots SET slot = slot - interval '6 hours'"))
        assert await maintenance.take_slot("cleanup", 6 * HOUR) is not None
        assert await maintenance.take_slot("cleanup", 6 * HOUR) is None
