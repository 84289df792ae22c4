"""Counts of all jobs: one replica a period counts, and all read the same row."""

import asyncio

from sqlalchemy import text

from domain.jobs import JOB_VERSION, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.statistics import QueueStatistics, StatisticsRepository
from tests.fixtures.jobs import backdate, claim_next, new_user, submit

HOUR = 3600


async def count(database: Database, period: float = 10.0) -> bool:
    async with database.unit_of_work() as connection:
        return await StatisticsRepository(connection).count_if_due(period)


async def read(database: Database) -> QueueStatistics | None:
    async with database.unit_of_work() as connection:
        return await StatisticsRepository(connection).read()


async def test_statistics_give_the_count_and_the_oldest_age_of_every_state(database: Database) -> None:
    assert await read(database) is None
    user_id = await new_user(database)
    jobs = [await submit(database, user_id) for _ in range(3)]
    async with database.unit_of_work() as connection:
        await claim_next(connection)
        await backdate(connection, "jobs", "job_id", jobs[2].job_id, created_at=HOUR)
        await connection.execute(
            text("UPDATE jobs SET version = :v WHERE status = 'pending' AND job_id = :id"),
            {"v": JOB_VERSION + 1, "id": jobs[2].job_id},
        )
    assert await count(database)
    statistics = await read(database)
    assert statistics is not None
    counts = statistics.counts
    assert {status: count.jobs for status, count in counts.items()} == {
        JobStatus.PENDING: 2,
        JobStatus.RUNNING: 1,
        JobStatus.COMPLETED: 0,
        JobStatus.FAILED: 0,
    }
    assert HOUR <= counts[JobStatus.PENDING].oldest_seconds < 2 * HOUR
    assert counts[JobStatus.COMPLETED].oldest_seconds == 0
    assert statistics.newer_version == 1
    assert 0 <= statistics.age_seconds < 60


async def test_twenty_replicas_count_once_a_period(database: Database) -> None:
    for _ in range(3):
        counted = await asyncio.gather(*(count(database) for _ in range(20)))
        assert sum(counted) == 1
        assert not await count(database)
        async with database.unit_of_work() as connection:
            await connection.execute(text("UPDATE queue_statistics SET counted_at = counted_at - interval '11 s'"))


async def test_counting_replica_delays_no_other(database: Database) -> None:
    assert await count(database)
    async with database.unit_of_work() as slow:
        assert await StatisticsRepository(slow).count_if_due(0)
        assert not await asyncio.wait_for(count(database, 0), 5)
        assert await read(database) is not None  # the count before


async def test_age_of_the_count_grows_when_counting_fails(database: Database) -> None:
    assert await count(database)
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE queue_statistics SET counted_at = counted_at - interval '1 hour'"))
    async with database.unit_of_work() as connection:
        assert await StatisticsRepository(connection).count_if_due(10)
        await connection.rollback()  # the replica dies before its commit
    statistics = await read(database)
    assert statistics is not None
    assert statistics.age_seconds >= HOUR
    assert await count(database)


async def test_entries_of_the_audit_log_without_a_partition_are_counted_to_1000(database: Database) -> None:
    assert await count(database, 0)
    counted = await read(database)
    assert counted is not None
    assert counted.audit_default_rows == 0
    for rows, expected in ((3, 3), (1_100, 1_000)):
        async with database.unit_of_work() as work:
            await work.execute(
                text("""
                    INSERT INTO audit_logs (action, resource_type, created_at)
                    SELECT 'submit', 'job', '2001-01-01' FROM generate_series(1, CAST(:rows AS int))
                """),
                {"rows": rows},
            )
        assert await count(database, 0)
        counted = await read(database)
        assert counted is not None
        assert counted.audit_default_rows == expected
