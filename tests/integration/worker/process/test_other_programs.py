"""An API that does not use `worker.client`: it inserts the row, and may enqueue it with ARQ alone."""

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import arq
import pytest
from arq.connections import RedisSettings
from redis.asyncio import Redis

from domain.jobs import JobStatus
from tests.fixtures.control.changed_worker import WITHOUT_POLLS, changed_worker
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client

INSERT = """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata)
    VALUES ($1, $2, 'pending', 'upload', $3::text::jsonb)
"""
"""The columns of the reference's schema that have no default."""

METADATA = {
    "upload_filename": "example.py",
    "file_data": base64.b64encode(PYTHON_FILE).decode(),
    "project_name": "My Project",
    "author_type": "human",
    "author_model": "developer",
}
"""The reference's example of an upload."""


async def insert(system: System, user_id: UUID) -> str:
    job_id = uuid.uuid4().hex
    await Rows(system).all(INSERT, job_id, user_id, json.dumps(METADATA))
    return job_id


async def check_result(client: Client, user_id: UUID, job_id: str) -> None:
    ended = await until_finished(client, user_id, job_id)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
    assert ended.result_run_id is not None
    run = await client.get_run(user_id, ended.result_run_id)
    assert (run.origin.upload_filename, run.origin.author_model) == ("example.py", "developer")


def to_json(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode()


async def test_row_that_is_enqueued_with_arq_alone_is_started_by_its_wakeup(
    system: System, client: Client, user_id: UUID
) -> None:
    """The worker does not poll PostgreSQL, so nothing but the wake-up starts the job."""
    redis = await arq.create_pool(RedisSettings.from_dsn(system.environment["REDIS_URL"]), job_serializer=to_json)
    async with changed_worker(system, "worker", WITHOUT_POLLS) as worker:
        await worker.until("cleanup.completed")
        for _ in range(3):
            job_id = await insert(system, user_id)
            assert await redis.enqueue_job("analyze", job_id, _job_id=job_id, _queue_name="vibe8:queue")
            await check_result(client, user_id, job_id)
        assert not [entry for entry in worker.log() if entry["level"] in ("warning", "error")]
    await redis.aclose()


async def test_row_that_is_enqueued_with_arq_s_own_pickles_is_started_too(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    """The pickle is refused, but an idle worker finds the row."""
    redis = await arq.create_pool(RedisSettings.from_dsn(system.environment["REDIS_URL"]))
    job_id = await insert(system, user_id)
    assert await redis.enqueue_job("analyze", job_id, _job_id=job_id, _queue_name="vibe8:queue")
    await check_result(client, user_id, job_id)
    await until(lambda: _empty(redis))
    await redis.aclose()
    assert worker.process.poll() is None


async def _empty(redis: Redis) -> bool:
    return not await redis.zcard("vibe8:queue")


async def test_row_that_nobody_enqueues_is_started_by_an_idle_worker(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    await worker.until("cleanup.completed")  # by then the worker has looked once, in vain
    for _ in range(2):
        await check_result(client, user_id, await insert(system, user_id))
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:
        assert [key async for key in redis.scan_iter("arq:job:*")] == []


@pytest.mark.settings(ARQ_MAX_JOBS="1")
async def test_rows_of_other_programs_take_turns_with_those_of_the_client(
    system: System, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    backlog = [await insert(system, other) for _ in range(8)]
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with system.worker():
        for job_id in backlog:
            await check_result(client, other, job_id)
        assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
    started = await Rows(system).all("SELECT job_id FROM jobs ORDER BY started_at")
    assert [row["job_id"] for row in started].index(job.job_id) <= 1
