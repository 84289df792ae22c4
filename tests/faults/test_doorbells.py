"""The queue is a hint: lost, repeated or poisoned, every job still ends exactly once."""

import asyncio
import pickle
import time
from uuid import UUID

import redis.asyncio
from arq.constants import job_key_prefix

from domain.jobs import JobStatus
from infrastructure.queue import QUEUE_NAME, connect
from tests.support.faults import PYTHON_FILE, Rows, until
from tests.support.worker import System
from worker.client import Client


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (exec, ("import pathlib; pathlib.Path('/tmp/vibe8-bomb').touch()",))


async def submit_many(client: Client, count: int, per_user: int = 5) -> list[str]:
    """Submit one-file jobs for as many users as the limits ask for."""
    jobs = []
    for number in range(count):
        user = await client.get_or_create_user(f"user{number // per_user}@example.org")
        jobs.append((await client.submit_upload(user, filename="a.py", content=PYTHON_FILE)).job_id)
    return jobs


async def test_losing_all_of_redis_loses_no_job(system: System, client: Client) -> None:
    rows = Rows(system)
    async with redis.asyncio.Redis.from_url(system.environment["REDIS_URL"]) as server:
        jobs = await submit_many(client, 30)
        await server.flushdb()
        # What the sweep does 30 s after a ring that nobody heard.
        await rows.all("UPDATE jobs SET rung_at = rung_at - interval '31 seconds'")
        async with system.worker():
            await until(lambda: _some_running(rows))
            await server.flushdb()
            await rows.all("UPDATE jobs SET rung_at = rung_at - interval '31 seconds' WHERE status = 'pending'")
            await until(lambda: _all_done(rows, len(jobs)), 120)
    assert sorted(await rows.runs()) == sorted(jobs)


async def _some_running(rows: Rows) -> bool:
    statuses = await rows.statuses()
    return bool(statuses.get("running") or statuses.get("completed"))


async def _all_done(rows: Rows, count: int) -> bool:
    return (await rows.statuses()) == {"completed": count}


async def test_one_claim_however_often_it_rings(system: System, client: Client, user_id: UUID) -> None:
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


async def test_foreign_and_pickled_payloads_are_refused(system: System, client: Client, user_id: UUID) -> None:
    import pathlib

    pool = await connect(system.environment["REDIS_URL"])
    payloads = {
        "pickled": pickle.dumps({"t": 1, "f": "analyze", "a": (Bomb(),), "k": {}, "et": 0}),
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
    assert not pathlib.Path("/tmp/vibe8-bomb").exists()
    assert (await client.get_job(user_id, job.job_id)).status is JobStatus.COMPLETED


async def test_the_same_idempotency_key_at_once_is_one_job(client: Client, user_id: UUID) -> None:
    jobs = await asyncio.gather(
        *(client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key="k") for _ in range(20))
    )
    assert len({job.job_id for job in jobs}) == 1
