"""Registration of workers, and control commands to them."""

import asyncio
import signal
from uuid import UUID

from redis.asyncio import Redis

from domain.jobs import JobStatus
from domain.workers import PAUSED
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.redis.queue import connect
from infrastructure.redis.worker_registry import (
    DRAIN,
    ENTRY_TTL_SECONDS,
    REPORTS_KEY,
    Report,
    WorkerRegistry,
)
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client


async def test_workers_register_and_remove_their_entries(system: System, client: Client, user_id: UUID) -> None:
    redis = await connect(system.environment["REDIS_URL"])
    registry = WorkerRegistry(redis)
    async with system.worker("one") as one, system.worker("two") as two:

        async def both() -> bool:
            return len(await registry.workers()) == 2

        await until(both)
        found = await registry.workers()
        assert {replica.pid for replica in found} == {one.process.pid, two.process.pid}
        assert {replica.state for replica in found} == {"ready"}
        job = await client.submit_upload(user_id, filename="slow.py", content=slow_source(12_000))

        async def registered_job() -> bool:
            return [job.job_id] in [list(replica.jobs) for replica in await registry.workers()]

        await until(registered_job)
        await two.stop()
        assert [replica.pid for replica in await registry.workers()] == [one.process.pid]
    await redis.aclose()


async def test_worker_that_was_killed_is_lost_after_15_seconds(system: System) -> None:
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis, system.worker() as worker:
        registry = WorkerRegistry(redis)
        await until(registry.workers)
        await worker.stop(signal.SIGKILL)
        (entry,) = await registry.workers()
        assert entry.state == "ready"
        assert entry.room > 0
        await redis.pexpire(f"vibe8:replica:{entry.replica_id}", int((ENTRY_TTL_SECONDS - 15) * 1000) - 1)
        (entry,) = await registry.workers()
        assert (entry.state, entry.room) == ("lost", 0)


async def test_worker_reports_while_it_holds_its_lock_and_withdraws_that_at_its_end(system: System) -> None:
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:
        registry = WorkerRegistry(redis)
        async with system.worker() as worker:
            (report,) = await until(lambda: registry.silent(-60.0))
            assert [report.replica_id] == [entry.replica_id for entry in await registry.workers()]
            assert await registry.silent(30.0) == []
            assert await worker.stop() == 0
        assert await redis.zcard(REPORTS_KEY) == 0


async def test_only_old_reports_are_silent_and_those_of_other_programs_are_ignored(redis: Redis) -> None:
    registry = WorkerRegistry(redis)
    now = (await redis.time())[0] * 1000
    others = dict.fromkeys(("w", "w:x", b"w\0:1", b"\xff:1", f"w:{2**63}", "w:-1"), now - 10_000)
    await redis.zadd(REPORTS_KEY, {**others, "a:b:7": now - 10_000, "old:7": now - 61_000})
    await registry.report(Report("new", 7))
    assert await registry.silent(5.0) == [Report("a:b", 7)]
    assert await redis.zscore(REPORTS_KEY, "old:7") is None


async def test_a_paused_fleet_claims_nothing(system: System, client: Client, user_id: UUID) -> None:
    database = Database.from_settings(system.settings)
    async with system.worker():
        async with database.unit_of_work() as work:
            assert await MaintenanceRepository(work).set_paused(paused=True)
            assert not await MaintenanceRepository(work).set_paused(paused=True)
        waiting = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await asyncio.sleep(2)
        assert (await client.get_job(user_id, waiting.job_id)).status is JobStatus.PENDING
        async with database.unit_of_work() as work:
            assert await MaintenanceRepository(work).is_control_set(PAUSED)
        assert (await system.run("resume")).code == 0
        other = await client.submit_upload(user_id, filename="b.py", content=PYTHON_FILE)
        assert (await until_finished(client, user_id, waiting.job_id)).status is JobStatus.COMPLETED
        assert (await until_finished(client, user_id, other.job_id)).status is JobStatus.COMPLETED
    await database.close()


async def test_drain_command_reaches_one_worker(system: System) -> None:
    redis = await connect(system.environment["REDIS_URL"])
    registry = WorkerRegistry(redis)
    async with system.worker("one") as one, system.worker("two") as two:

        async def both() -> bool:
            return len(await registry.workers()) == 2

        await until(both)

        async def both_listen() -> bool:
            return dict(await redis.pubsub_numsub(registry.channel)) == {registry.channel.encode(): 2}

        await until(both_listen)
        first = next(replica for replica in await registry.workers() if replica.pid == one.process.pid)
        assert await registry.send_command(DRAIN, first.replica_id) == 2
        assert await asyncio.to_thread(one.process.wait, 30) == 0
        assert two.process.poll() is None
    await redis.aclose()
