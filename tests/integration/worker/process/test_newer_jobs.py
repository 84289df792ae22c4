"""Jobs of a newer version wait for a worker that knows it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from domain.jobs import JOB_VERSION, JobStatus
from infrastructure.database.engine import Database
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.queue import JobQueue, connect
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from tests.hostile.support.poison import enqueue_message, job_message
from worker.client import Client
from worker.jobs import maintenance
from worker.jobs.maintenance import Maintenance
from worker.jobs.rescue import JobRescuer
from worker.process.bootstrap import token_vault


@pytest.fixture
async def rows(system: System) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    yield connection
    await connection.close()


async def test_job_of_a_newer_version_is_left_to_a_worker_that_knows_it(
    system: System, client: Client, user_id: UUID, rows: asyncpg.Connection
) -> None:
    newer = await client.submit_upload(user_id, filename="newer.py", content=PYTHON_FILE)
    await rows.execute("UPDATE jobs SET version = $1", JOB_VERSION + 1)
    known = await client.submit_upload(user_id, filename="known.py", content=PYTHON_FILE)
    async with system.worker() as worker:
        assert (await until_finished(client, user_id, known.job_id)).status is JobStatus.COMPLETED
        (entry,) = await worker.until("queue.newer_jobs_found")
        assert (entry["jobs"], entry["known"], entry["level"]) == (1, JOB_VERSION, "warning")
        row = await Rows(system).job(newer.job_id)
        assert (row["status"], row["attempt"], row["attempt_errors"]) == ("pending", 0, "[]")
        await rows.execute("UPDATE jobs SET version = $1 WHERE job_id = $2", JOB_VERSION, newer.job_id)
        other = await client.submit_upload(user_id, filename="other.py", content=PYTHON_FILE)
        for job in (newer, other):
            ended = await until_finished(client, user_id, job.job_id)
            assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)


async def test_uploads_have_the_version_that_older_workers_leave_alone(
    client: Client, user_id: UUID, rows: asyncpg.Connection
) -> None:
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    await client.submit_repository(user_id, url="https://github.com/owner/repo")
    assert await rows.fetch("SELECT source_kind, version FROM jobs ORDER BY version") == [("github", 1), ("upload", 2)]


async def test_newer_jobs_are_logged_once(
    system: System, client: Client, user_id: UUID, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "MAINTENANCE_SECONDS", 0.0)
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    await rows.execute("UPDATE jobs SET version = 32767")
    database, redis = Database.from_settings(system.settings), await connect(system.environment["REDIS_URL"])
    rounds = 0
    run_once = Maintenance.run_once

    async def count_round(self: Maintenance) -> int:
        nonlocal rounds
        rounds += 1
        return await run_once(self)

    monkeypatch.setattr(Maintenance, "run_once", count_round)
    vault = token_vault(system.settings, redis)
    rescuer = JobRescuer(
        database=database,
        queue=JobQueue(redis),
        events=EventPublisher(redis),
        vault=vault,
        on_due=lambda: None,
    )
    maintenance_loop = Maintenance(database=database, settings=system.settings, rescuer=rescuer)
    with capture_logs() as log:
        task = asyncio.create_task(maintenance_loop.run())
        await until(lambda: rounds >= 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [entry["event"] for entry in log].count("queue.newer_jobs_found") == 1
    await redis.aclose()
    await database.close()


async def test_wakeup_with_unknown_arguments_is_handled(system: System, client: Client, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:
        await redis.flushdb()
        await enqueue_message(redis, b"newer", job_message(a=[job.job_id, {"priority": 5}], k={"version": 2}))
        async with system.worker() as worker:
            await until_finished(client, user_id, job.job_id)
            assert not [entry for entry in worker.log() if entry["level"] in ("warning", "error")]
