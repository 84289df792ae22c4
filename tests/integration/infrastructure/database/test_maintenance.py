"""Rescue of jobs whose worker was lost."""

import asyncio

from domain.jobs import Claim, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository, RescuedJob
from tests.fixtures.jobs import backdate, claim_next, get_job, new_user, submit


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
