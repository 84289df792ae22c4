"""A worker started before its services is alive but not ready, logs once what it waits for, and then runs jobs."""

import asyncio
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from domain.jobs import JobStatus
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import downgrade
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System, WorkerProcess, new_system, until_finished
from worker.client import Client
from worker.process import startup
from worker.process.startup import wait_for_services

WAITING = ("startup.waiting_for_postgresql", "startup.waiting_for_migration", "startup.waiting_for_redis")


def starting(system: System, name: str = "worker", **environment: str) -> AbstractAsyncContextManager[WorkerProcess]:
    """Start a worker; the block begins before it has reached its services."""
    return system.worker(name, ready="worker.starting", STATUS_PORT="0", **environment)


def waiting_events(worker: WorkerProcess) -> list[str]:
    return [entry["event"] for entry in worker.log() if entry["event"] in WAITING]


async def probes(worker: WorkerProcess) -> tuple[int, int, str | None]:
    """Return the status codes of liveness and readiness, and the reason why the worker is not ready."""
    (entry,) = await worker.until("worker.starting")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{entry['status_port']}") as http:
        alive, ready = await http.get("/livez"), await http.get("/readyz")
        return alive.status_code, ready.status_code, ready.json()["reason"]


async def test_worker_waits_for_postgresql_and_redis(proxied_system: System, proxies: Proxies, client: Client) -> None:
    user_id = await client.get_or_create_user("ann@example.org")
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    for each in proxies:
        await each.disconnect()
    async with starting(proxied_system) as worker:
        (entry,) = await worker.until("startup.waiting_for_postgresql")
        assert "PostgreSQL cannot be reached" in entry["reason"]
        assert await probes(worker) == (200, 503, entry["reason"])
        await proxies.postgresql.connect()
        (entry,) = await worker.until("startup.waiting_for_redis")
        assert "REDIS_URL" in entry["reason"]
        assert await probes(worker) == (200, 503, entry["reason"])
        await proxies.redis.connect()
        assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED

        async def ready() -> bool:
            return await probes(worker) == (200, 200, None)

        await until(ready)
        assert waiting_events(worker) == ["startup.waiting_for_postgresql", "startup.waiting_for_redis"]
        levels = [entry["event"] for entry in worker.log() if entry["level"] in ("warning", "error")]
        assert levels == waiting_events(worker)
        assert len(worker.log()) == len(worker.log_file.read_text().splitlines())
        assert await worker.stop() == 0


async def test_worker_waits_for_the_first_migration(empty_database_url: str, redis_url: str, tmp_path: Path) -> None:
    system = new_system(empty_database_url, redis_url, tmp_path)
    async with starting(system) as worker:
        (entry,) = await worker.until("startup.waiting_for_migration")
        assert "vibe8 migrate" in entry["reason"]
        assert (await probes(worker))[:2] == (200, 503)
        assert (await system.run("migrate")).code == 0
        await worker.until("worker.started")
        assert waiting_events(worker) == ["startup.waiting_for_migration"]
        async with Client.open(system.settings) as client:
            user_id = await client.get_or_create_user("ann@example.org")
            job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED


async def test_worker_waits_for_an_upgrade_of_an_older_schema_but_accepts_a_newer_one(system: System) -> None:
    url = asyncpg_url(system.environment["DATABASE_URL"])
    await downgrade(url, "0001")
    async with starting(system) as worker:
        (entry,) = await worker.until("startup.waiting_for_migration")
        assert "is at 0001" in entry["reason"]
        assert (await system.run("migrate")).code == 0
        await worker.until("worker.started")
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")  # of a later release
    await connection.close()
    async with starting(system, "second") as worker:
        await worker.until("worker.started")
        assert waiting_events(worker) == []


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_wait_for_services(
    proxied_system: System, proxies: Proxies, sign: signal.Signals
) -> None:
    for each in proxies:
        await each.disconnect()
    async with starting(proxied_system) as worker:
        await worker.until("startup.waiting_for_postgresql")
        assert await worker.stop(sign) == 0
        assert worker.log()[-1]["event"] == "worker.stopped"
        assert "Traceback" not in worker.log_file.read_text()


async def test_a_signal_ends_the_wait_for_an_unresponsive_server(redis_url: str, tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        while await reader.read(1024):
            pass
        writer.close()
        left.set()

    accepted, left = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with starting(new_system(f"postgresql://u@127.0.0.1:{port}/d", redis_url, tmp_path)) as worker:
        await accepted.wait()
        assert await worker.stop() == 0
    await left.wait()
    server.close()


async def test_startup_wait_limits_the_wait_for_services(proxied_system: System, proxies: Proxies) -> None:
    await proxies.redis.disconnect()
    async with starting(proxied_system, STARTUP_WAIT="1") as worker:
        assert await asyncio.to_thread(worker.process.wait, TIMEOUT_SECONDS) == 3
        assert worker.log_file.read_text().splitlines()[-1].startswith("vibe8: Redis cannot be reached")


@pytest.mark.parametrize(("interval", "lines"), [(60.0, 1), (0.0, 5)])
async def test_a_missing_service_is_logged_once_per_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float, lines: int
) -> None:
    monkeypatch.setattr(startup, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(startup, "LOG_SECONDS", interval)
    system = new_system("postgresql://u@127.0.0.1:1/d", "redis://127.0.0.1:1/0", tmp_path)
    stop, reasons = asyncio.Event(), []

    def on_waiting(reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 6:  # the sixth is reported before it is logged
            stop.set()

    with capture_logs() as log:
        assert await wait_for_services(system.settings, stop, on_waiting) is False
    assert [entry["event"] for entry in log][:5] == ["startup.waiting_for_postgresql"] * lines
