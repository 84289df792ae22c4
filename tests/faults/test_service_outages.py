"""Redis or PostgreSQL unavailable for a while: the worker logs it once, and goes on when they are back."""

import asyncio

import pytest

from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.network.tcp_proxy import Proxies, TcpProxy
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess
from worker.client import Client

RECOVERY_SECONDS = 30
POSTGRESQL_EVENTS = {"maintenance.failed", "lease.renewal_failed", "claim.paused", "claim.failed"}


async def completed(rows: Rows, job_id: str) -> bool:
    return bool((await rows.job(job_id))["status"] == "completed")


def assert_logged_at_most_twice(worker: WorkerProcess, events: set[str]) -> None:
    """Check that an event was logged, and none of them repeatedly."""
    log = worker.log_file.read_text()
    logged = [entry["event"] for entry in worker.log() if entry["event"] in events]
    assert logged, log
    assert all(logged.count(event) <= 2 for event in events), log
    assert "Traceback" not in log, log


async def interrupt(
    proxied_system: System, system: System, client: Client, proxy: TcpProxy, seconds: float, events: set[str]
) -> None:
    rows = Rows(system)
    user_id = await client.get_or_create_user("ann@example.org")
    async with proxied_system.worker() as worker:
        running = await client.submit_upload(user_id, filename="slow.py", content=slow_source(1500))
        await until(lambda: _is_running(rows, running.job_id))
        await proxy.disconnect()
        await asyncio.sleep(seconds)
        waiting = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        assert worker.process.poll() is None
        await proxy.connect()
        await until(lambda: completed(rows, waiting.job_id), RECOVERY_SECONDS)
        await until(lambda: completed(rows, running.job_id), RECOVERY_SECONDS)
        assert_logged_at_most_twice(worker, events)
        assert await worker.stop() == 0
    assert sorted(await rows.runs()) == sorted([running.job_id, waiting.job_id])


async def _is_running(rows: Rows, job_id: str) -> bool:
    return bool((await rows.job(job_id))["status"] == "running")


@pytest.mark.fault("Redis unavailable for 3 s")
async def test_redis_unavailable_for_3_seconds(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    await interrupt(proxied_system, system, client, proxies.redis, 3, {"redis.unavailable"})
    assert await Rows(system).all("SELECT 1 FROM jobs WHERE attempt > 1") == []


@pytest.mark.fault("PostgreSQL unavailable for 5 s")
async def test_postgresql_unavailable_for_5_seconds(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    await interrupt(proxied_system, system, client, proxies.postgresql, 5, POSTGRESQL_EVENTS)
    assert await Rows(system).all("SELECT 1 FROM jobs WHERE attempt > 1") == []


@pytest.mark.slow
@pytest.mark.fault("Redis unavailable for 60 s")
async def test_redis_unavailable_for_a_minute(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    await interrupt(proxied_system, system, client, proxies.redis, 60, {"redis.unavailable"})


@pytest.mark.slow
@pytest.mark.fault("PostgreSQL unavailable for 60 s")
async def test_postgresql_unavailable_for_a_minute(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    await interrupt(proxied_system, system, client, proxies.postgresql, 60, POSTGRESQL_EVENTS)


@pytest.mark.fault("pg_terminate_backend twice a second for 5 s")
async def test_connections_terminated_twice_a_second_for_5_seconds(system: System, client: Client) -> None:
    await terminate_connections(system, client, 5)


@pytest.mark.slow
@pytest.mark.fault("pg_terminate_backend twice a second for 30 s")
async def test_connections_terminated_twice_a_second_for_30_seconds(system: System, client: Client) -> None:
    await terminate_connections(system, client, 30)


async def terminate_connections(system: System, client: Client, seconds: int) -> None:
    rows = Rows(system)
    user_id = await client.get_or_create_user("ann@example.org")
    async with system.worker() as worker:
        jobs = [await client.submit_upload(user_id, filename=f"{n}.py", content=PYTHON_FILE) for n in range(5)]
        for _ in range(2 * seconds):
            await rows.all(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'vibe8-worker' AND datname = current_database()"
            )
            await asyncio.sleep(0.5)

        async def done() -> bool:
            return (await rows.statuses()) == {"completed": len(jobs)}

        await until(done, 30)
        assert worker.process.poll() is None
    assert sorted(await rows.runs()) == sorted(job.job_id for job in jobs)
