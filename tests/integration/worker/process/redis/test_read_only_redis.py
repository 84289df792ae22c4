"""A Redis that has become a read-only replica, as after a failover: it is named, and work goes on."""

from uuid import UUID

from redis.asyncio import Redis

from domain.jobs import JobStatus
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client


async def test_work_goes_on_and_the_log_names_a_replica(system: System, client: Client, user_id: UUID) -> None:
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis, system.worker() as worker:
        await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            (failed,) = await worker.until("registration.failed")
            assert failed["level"] == "warning"
            assert "read-only replica" in failed["reason"]
            assert (await system.run("pause", "--json")).document == {"paused": True, "changed": True}
            resumed = await system.run("resume", "--json")
            assert (resumed.code, resumed.document) == (0, {"paused": False, "changed": True})
            job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
            async with system.worker("second"):
                pass
        finally:
            await redis.execute_command("REPLICAOF", "NO", "ONE")

        async def is_back() -> bool:
            available = await worker.until("service.available")
            return "registration.failed" in {entry["after"] for entry in available}

        await until(is_back)
        assert len(await worker.until("registration.failed")) == 1
