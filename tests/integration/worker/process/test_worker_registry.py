"""Registration of workers, and control commands to them."""

import asyncio
from uuid import UUID

from domain.jobs import JobStatus
from domain.workers import PAUSED
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.redis.queue import connect
from infrastructure.redis.worker_registry import DRAIN, WorkerRegistry
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


async def test_a_paused_fleet_claims_nothing(system: System, client: Client, user_id: UUID) -> None:
    database = Database.from_settings(system.settings)
    async with system.worker():
        async with database.unit_of_work() as work:
            assert await MaintenanceRepository(work).set_control(PAUSED, on=True)
            assert not await MaintenanceRepository(work).set_control(PAUSED, on=True)
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
