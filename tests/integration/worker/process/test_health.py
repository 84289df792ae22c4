"""Liveness and readiness of a worker, as a supervisor and other workers see them."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from domain.jobs import JobStatus
from infrastructure.observability.status_server import StatusServer
from infrastructure.redis.worker_registry import ENTRY_TTL_SECONDS, WorkerRegistry
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.processes import job_scratch
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client
from worker.process import health as health_module
from worker.process.health import Health


@asynccontextmanager
async def worker_and_http(system: System, **environment: str) -> AsyncIterator[tuple[WorkerProcess, httpx.AsyncClient]]:
    async with system.worker(STATUS_PORT="0", **environment) as worker:
        (entry,) = await worker.until("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{entry['status_port']}") as http:
            await until(lambda: has_status(http, None))
            yield worker, http


async def has_status(http: httpx.AsyncClient, reason: str | None) -> bool:
    """Return whether the worker is ready (`reason` is None), or not ready for this reason. It must be alive."""
    assert (await http.get("/livez")).status_code == 200
    answer = await http.get("/readyz")
    if reason is None:
        return answer.status_code == 200 and answer.json() == {"ok": True, "reason": None}
    return answer.status_code == 503 and reason in (answer.json()["reason"] or "")


async def ready_gauge(http: httpx.AsyncClient) -> float:
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    (value,) = [sample.value for family in families for sample in family.samples if sample.name == "vibe8_ready"]
    return value


async def test_worker_is_not_ready_while_postgresql_is_unavailable(proxied_system: System, proxies: Proxies) -> None:
    async with worker_and_http(proxied_system) as (worker, http):
        proxy, _ = proxies
        await proxy.disconnect()
        await until(lambda: has_status(http, "PostgreSQL is unavailable"))

        async def gauge_is_zero() -> bool:
            return await ready_gauge(http) == 0

        await until(gauge_is_zero)
        await proxy.connect()
        await until(lambda: has_status(http, None))
        assert worker.process.poll() is None


async def test_worker_is_ready_and_works_while_redis_is_unavailable(
    proxied_system: System, proxies: Proxies, client: Client, user_id: UUID
) -> None:
    async with worker_and_http(proxied_system) as (worker, http):
        _, proxy = proxies
        await proxy.disconnect()
        await worker.until("redis.unavailable")
        job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        ended = await until_finished(client, user_id, job.job_id)
        assert ended.status is JobStatus.COMPLETED
        assert await has_status(http, None)
        await proxy.connect()
        back = await worker.until("service.available", 2)  # the registration logs its own outage
        assert {each["after"] for each in back} == {"redis.unavailable", "registration.failed"}
        assert worker.process.poll() is None


async def test_a_draining_worker_is_alive_but_not_ready(system: System, client: Client, user_id: UUID) -> None:
    async with worker_and_http(system) as (worker, http):
        await client.submit_upload(user_id, filename="slow.py", content=slow_source(12_000))
        await until(lambda: job_scratch(system))
        worker.process.send_signal(signal.SIGTERM)
        await until(lambda: has_status(http, "draining"))
        assert await worker.stop() == 0


def test_a_blocked_event_loop_is_reported_as_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP calls block this thread, and so the event loop; the status server has its own thread."""
    health = Health()
    server = StatusServer("127.0.0.1", 0, alive=health.not_alive_reason, ready=health.not_ready_reason)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as http:
            health.record_heartbeat()
            assert http.get("/livez").status_code == 200
            assert http.get("/readyz").json()["reason"] == "the worker is starting"
            monkeypatch.setattr(health_module, "LOOP_STALL_SECONDS", 0.0)
            for path in ("/livez", "/readyz"):
                answer = http.get(path)
                assert answer.status_code == 503
                assert "the event loop has not run" in answer.json()["reason"]
    finally:
        server.close()


async def test_registry_entry_of_a_killed_worker_expires_and_that_of_a_stopped_one_is_removed(system: System) -> None:
    async with (
        Redis.from_url(system.environment["REDIS_URL"]) as redis,
        system.worker("healthy") as healthy,
        system.worker("short", MIN_FREE_DISK_MB="100000000") as short_of_disk,
    ):
        registry = WorkerRegistry(redis)

        async def both() -> bool:
            return len(await registry.workers()) == 2

        await until(both)
        replicas = {replica.pid: replica for replica in await registry.workers()}
        assert replicas[healthy.process.pid].state == "ready"
        assert "MIN_FREE_DISK_MB" in replicas[short_of_disk.process.pid].state
        keys = [key async for key in redis.scan_iter(match="vibe8:*")]
        entries = [key for key in keys if any(replica.replica_id.encode() in key for replica in replicas.values())]
        assert len(entries) == 2
        for key in entries:
            assert 0 < await redis.ttl(key) <= ENTRY_TTL_SECONDS
        await short_of_disk.stop(signal.SIGKILL)
        assert len(await registry.workers()) == 2  # a killed worker cannot remove its entry
        await healthy.stop()
        assert [replica.pid for replica in await registry.workers()] == [short_of_disk.process.pid]
