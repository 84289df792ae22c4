"""Alive is not ready: what a supervisor may restart for, and what it must not."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from infrastructure.observability.status_server import StatusServer
from infrastructure.redis.worker_registry import ENTRY_TTL_SECONDS, WorkerRegistry
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import job_scratch
from tests.fixtures.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess
from worker.client import Client
from worker.process import health as readiness
from worker.process.health import Health


@asynccontextmanager
async def probed(system: System, **environment: str) -> AsyncIterator[tuple[WorkerProcess, httpx.AsyncClient]]:
    async with system.worker(STATUS_PORT="0", **environment) as worker:
        (entry,) = await worker.until("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{entry['status_port']}") as http:
            await until(lambda: says(http, None))
            yield worker, http


async def says(http: httpx.AsyncClient, reason: str | None) -> bool:
    """Whether it is ready (no reason), or not ready for a reason with these words; it must be alive either way."""
    assert (await http.get("/livez")).status_code == 200
    answer = await http.get("/readyz")
    if reason is None:
        return answer.status_code == 200 and answer.json() == {"ok": True, "reason": None}
    return answer.status_code == 503 and reason in (answer.json()["reason"] or "")


async def ready_gauge(http: httpx.AsyncClient) -> float:
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    (value,) = [sample.value for family in families for sample in family.samples if sample.name == "vibe8_ready"]
    return value


@pytest.mark.parametrize(
    ("service", "reason"), [("Redis", "Redis is unavailable"), ("PostgreSQL", "PostgreSQL is unavailable")]
)
async def test_a_service_that_goes_and_comes_back(
    proxied_system: System, proxies: Proxies, service: str, reason: str
) -> None:
    async with probed(proxied_system) as (worker, http):
        proxy = proxies[("PostgreSQL", "Redis").index(service)]
        await proxy.disconnect()
        await until(lambda: says(http, reason))

        async def told() -> bool:
            return await ready_gauge(http) == 0

        await until(told)
        await proxy.connect()
        await until(lambda: says(http, None))
        assert worker.process.poll() is None


async def test_a_draining_worker_is_alive_and_not_ready(system: System, client: Client, user_id: UUID) -> None:
    async with probed(system) as (worker, http):
        await client.submit_upload(user_id, filename="slow.py", content=slow_source(12_000))
        await until(lambda: job_scratch(system))
        worker.process.send_signal(signal.SIGTERM)
        await until(lambda: says(http, "draining"))
        assert await worker.stop() == 0


def test_a_loop_that_stands_still_is_answered_for_and_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls below block this thread; the status server has one of its own."""
    watched = Health()
    server = StatusServer("127.0.0.1", 0, alive=watched.not_alive_reason, ready=watched.not_ready_reason)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as http:
            watched.record_heartbeat()
            assert http.get("/livez").status_code == 200
            assert http.get("/readyz").json()["reason"] == "the worker is starting"
            monkeypatch.setattr(readiness, "LOOP_STALL_SECONDS", 0.0)
            for path in ("/livez", "/readyz"):
                answer = http.get(path)
                assert answer.status_code == 503
                assert "the event loop has not run" in answer.json()["reason"]
    finally:
        server.close()


async def test_each_replica_has_a_health_key_that_outlives_it_briefly(system: System) -> None:
    async with (
        Redis.from_url(system.environment["REDIS_URL"]) as redis,
        system.worker("well") as well,
        system.worker("full", MIN_FREE_DISK_MB="100000000") as full,
    ):
        registry = WorkerRegistry(redis)

        async def both() -> bool:
            return len(await registry.workers()) == 2

        await until(both)
        replicas = {replica.pid: replica for replica in await registry.workers()}
        assert replicas[well.process.pid].state == "ready"
        assert "MIN_FREE_DISK_MB" in replicas[full.process.pid].state
        keys = [key async for key in redis.scan_iter(match="vibe8:*")]
        health = [key for key in keys if any(replica.replica_id.encode() in key for replica in replicas.values())]
        assert len(health) == 2
        for key in health:
            assert 0 < await redis.ttl(key) <= ENTRY_TTL_SECONDS
        await full.stop(signal.SIGKILL)
        assert len(await registry.workers()) == 2  # a killed one says no goodbye: its key runs out
        await well.stop()
        assert [replica.pid for replica in await registry.workers()] == [full.process.pid]
