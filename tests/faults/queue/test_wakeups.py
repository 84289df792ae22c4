"""Queue entries that are lost, repeated or invalid: every job still ends exactly once."""

import asyncio
import pickle
import time
from pathlib import Path
from uuid import UUID

import pytest
import redis.asyncio
from arq.constants import job_key_prefix

from domain.jobs import JobStatus
from infrastructure.redis.queue import QUEUE_NAME, connect
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, slow_source, submit_for_many
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.analysis.core_pool import usable_cores
from worker.client import Client
from worker.process.bootstrap import PREFETCH


class CreateFile:
    """Creates the file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (exec, (f"import pathlib; pathlib.Path({str(self._path)!r}).touch()",))


@pytest.mark.slow
@pytest.mark.fault("FLUSHALL with 100 jobs pending and all slots busy")
async def test_losing_all_of_redis_loses_no_job(system: System, client: Client) -> None:
    rows = Rows(system)
    async with redis.asyncio.Redis.from_url(system.environment["REDIS_URL"]) as server:
        jobs = await submit_for_many(client, 10, slow_source(8000))
        async with system.worker():
            running = usable_cores() + PREFETCH
            await until(lambda: _running(rows, running))
            jobs += await submit_for_many(client, 100, PYTHON_FILE, first=10)
            # Not FLUSHALL: the server's other databases belong to other tests.
            await server.flushdb()
            assert (await rows.statuses())["running"] > 0
            await until(lambda: _all_done(rows, len(jobs)), 180)
    assert sorted(await rows.runs()) == sorted(jobs)


async def _running(rows: Rows, count: int) -> bool:
    return (await rows.statuses()).get("running") == count


@pytest.mark.fault("one key of the queue evicted")
@pytest.mark.parametrize("kind", ["payload", "queue"])
async def test_an_evicted_key_loses_no_job(system: System, client: Client, kind: str) -> None:
    rows = Rows(system)
    jobs = await submit_for_many(client, 3, PYTHON_FILE)
    async with redis.asyncio.Redis.from_url(system.environment["REDIS_URL"]) as server:
        payloads = [key async for key in server.scan_iter(f"{job_key_prefix}{jobs[1]}:*")]
        assert await server.delete(*([QUEUE_NAME] if kind == "queue" else payloads)) == 1
    async with system.worker():
        await until(lambda: _all_done(rows, len(jobs)))
    assert sorted(await rows.runs()) == sorted(jobs)


async def _all_done(rows: Rows, count: int) -> bool:
    return (await rows.statuses()) == {"completed": count}


@pytest.mark.fault("the same wake-up 50 times over 3 workers")
async def test_fifty_wakeups_of_a_job_lead_to_one_claim(system: System, client: Client, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    pool = await connect(system.environment["REDIS_URL"])
    for number in range(2, 52):
        await pool.enqueue_job("analyze", job.job_id, _job_id=f"{job.job_id}:{number}")
    async with system.worker("one") as one, system.worker("two") as two, system.worker("three") as three:
        await until(lambda: _empty(pool))
        await until(lambda: _all_done(Rows(system), 1))
        done = [entry for worker in (one, two, three) for entry in worker.log() if entry["event"] == "job.completed"]
    await pool.aclose()
    assert len(done) == 1
    assert (await Rows(system).job(job.job_id))["attempt"] == 1


async def _empty(pool: redis.asyncio.Redis) -> bool:
    return not await pool.zcard(QUEUE_NAME)


@pytest.mark.fault("foreign and pickled payloads in the queue")
async def test_foreign_and_pickled_payloads_are_refused(
    system: System, client: Client, user_id: UUID, tmp_path: Path
) -> None:
    pool = await connect(system.environment["REDIS_URL"])
    payloads = {
        "pickled": pickle.dumps({"t": 1, "f": "analyze", "a": (CreateFile(tmp_path / "unpickled"),), "k": {}, "et": 0}),
        "text": b"hello",
        "list": b"[1, 2]",
        "unknown": b'{"t": null, "f": "rm", "a": [], "k": {}, "et": 0}',
        "arguments": b'{"t": null, "f": "analyze", "a": [1, 2, 3], "k": {"x": 1}, "et": 0}',
    }
    for name, payload in payloads.items():
        await pool.set(job_key_prefix + name, payload)
        await pool.zadd(QUEUE_NAME, {name: int(time.time() * 1000)})
    await pool.zadd(QUEUE_NAME, {"nothing": int(time.time() * 1000)})
    async with system.worker() as worker:
        job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await until(lambda: _all_done(Rows(system), 1))
        await until(lambda: _empty(pool))
        assert worker.process.poll() is None
    await pool.aclose()
    assert not (tmp_path / "unpickled").exists()
    assert (await client.get_job(user_id, job.job_id)).status is JobStatus.COMPLETED


@pytest.mark.fault("the same idempotency key 20 times at once")
async def test_concurrent_submissions_with_one_idempotency_key_create_one_job(
    system: System, client: Client, user_id: UUID
) -> None:
    jobs = await asyncio.gather(
        *(client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key="k") for _ in range(20))
    )
    assert len({job.job_id for job in jobs}) == 1
    async with system.worker():
        await until(lambda: _all_done(Rows(system), 1))
