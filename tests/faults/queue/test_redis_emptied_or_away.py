"""Redis emptied, away, or full of dead entries: workers go on claiming, and need no poll for it while jobs are due."""

from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from infrastructure.redis.queue import QUEUE_NAME
from tests.fixtures.control.changed_worker import WITHOUT_POLLS, changed_worker, held_worker
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client

MARK = "arq:in-progress:"
PAYLOAD = "arq:job:"
SLOTS = 20


async def statuses_are(rows: Rows, **expected: int) -> bool:
    return await rows.statuses() == expected


@pytest.mark.fault("FLUSHALL with 120 jobs pending, no polls")
async def test_emptied_redis_stops_no_worker_while_jobs_are_due(system: System, client: Client) -> None:
    """Without polls, nothing but the end of a job makes the worker claim the next."""
    rows = Rows(system)
    jobs = await submit_for_many(client, 120, PYTHON_FILE)
    async with (
        Redis.from_url(system.environment["REDIS_URL"]) as redis,
        changed_worker(system, "worker", WITHOUT_POLLS) as worker,
    ):
        await worker.until("job.completed")
        await redis.flushdb()  # not FLUSHALL: the server's other databases belong to other tests
        assert (await rows.statuses())["pending"] >= 60
        await until(lambda: statuses_are(rows, completed=len(jobs)), 180)
    assert sorted(await rows.runs()) == sorted(jobs)


@pytest.mark.fault("Redis away while 120 jobs are pending, no polls")
async def test_workers_claim_while_redis_is_away(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    rows = Rows(system)
    jobs = await submit_for_many(client, 120, PYTHON_FILE)
    async with changed_worker(proxied_system, "worker", WITHOUT_POLLS) as worker:
        await worker.until("job.completed")
        await proxies.redis.disconnect()
        assert (await rows.statuses())["pending"] >= 60
        await until(lambda: statuses_are(rows, completed=len(jobs)), 180)  # before Redis is back
        await worker.until("redis.unavailable")
        await proxies.redis.connect()
        jobs += await submit_for_many(client, 3, PYTHON_FILE, first=50)  # wake-ups arrive again
        await until(lambda: statuses_are(rows, completed=len(jobs)), 60)
    assert sorted(await rows.runs()) == sorted(jobs)


@pytest.mark.fault("6,000 dead entries of the release before")
async def test_dead_entries_of_the_release_before_delay_no_job(system: System, client: Client) -> None:
    """That release marked entries for days; those of killed workers were never taken again, and hid all others."""
    rows = Rows(system)
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:
        pipe = redis.pipeline()
        for number in range(6_000):
            entry = f"{number:032x}:1"
            pipe.zadd(QUEUE_NAME, {entry: 1_000})
            pipe.psetex(MARK + entry, 10**9, b"1")
            if number % 2:  # a payload expires after a day, a mark after eleven
                pipe.psetex(PAYLOAD + entry, 10**8, b'{"t": null, "f": "analyze", "a": [], "k": {}, "et": 0}')
        await pipe.execute()
        async with changed_worker(system, "worker", WITHOUT_POLLS) as worker:
            await worker.until("cleanup.completed")
            assert await redis.zcard(QUEUE_NAME) == 0
            assert [key async for key in redis.scan_iter("arq:*", count=5_000)] == []
            jobs = await submit_for_many(client, 20, PYTHON_FILE)
            await until(lambda: statuses_are(rows, completed=len(jobs)))
            assert not [entry for entry in worker.log() if entry["level"] in ("warning", "error")]
    assert sorted(await rows.runs()) == sorted(jobs)


@pytest.mark.slow
@pytest.mark.fault("SIGKILL of three workers with 20 busy slots each")
async def test_workers_that_are_killed_with_twenty_busy_slots_block_no_later_job(
    system: System, client: Client
) -> None:
    """The next worker rescues nothing for now, and does not poll: wake-ups start the later jobs."""
    rows = Rows(system)
    lost = await submit_for_many(client, 3 * SLOTS, PYTHON_FILE)
    async with AsyncExitStack() as stack:
        killed = [await stack.enter_async_context(held_worker(system, f"killed{n}")) for n in range(3)]
        await until(lambda: statuses_are(rows, running=len(lost)))
        for worker in killed:
            worker.process.kill()
    changes = {**WITHOUT_POLLS, "worker.jobs.maintenance.MAINTENANCE_SECONDS": 3600.0}
    async with changed_worker(system, "next", changes):
        jobs = await submit_for_many(client, SLOTS, PYTHON_FILE, first=100)
        await until(lambda: all_completed(rows, jobs))
    async with system.worker("last"), Redis.from_url(system.environment["REDIS_URL"]) as redis:
        await until(lambda: statuses_are(rows, completed=len(lost) + len(jobs)), 180)
        await until(lambda: _empty(redis))
    assert {row["attempt"] for row in await rows.all("SELECT attempt FROM jobs WHERE job_id = ANY($1)", jobs)} == {1}
    assert sorted(await rows.runs()) == sorted(lost + jobs)


async def all_completed(rows: Rows, jobs: list[str]) -> bool:
    found = await rows.all("SELECT 1 FROM jobs WHERE status = 'completed' AND job_id = ANY($1::varchar[])", jobs)
    return len(found) == len(jobs)


async def _empty(redis: Redis) -> bool:
    return not await redis.zcard(QUEUE_NAME)
