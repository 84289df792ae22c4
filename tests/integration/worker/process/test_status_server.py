"""A worker's status server: liveness, readiness and metrics."""

import asyncio
import functools
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import COMMAND, System, WorkerProcess, until_finished
from worker.client import Client

ROOT = Path(__file__).parents[4]


@pytest.fixture
async def status(system: System) -> AsyncIterator[tuple[WorkerProcess, httpx.AsyncClient]]:
    async with system.worker(STATUS_PORT="0") as worker:
        (started,) = await worker.until("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['status_port']}") as http:
            yield worker, http


async def samples(http: httpx.AsyncClient) -> dict[tuple[str, tuple[str, ...]], float]:
    text = (await http.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_worker_is_alive_and_ready_and_counts_its_jobs(
    status: tuple[WorkerProcess, httpx.AsyncClient], client: Client, user_id: UUID
) -> None:
    _, http = status

    async def ready() -> bool:
        return (await http.get("/readyz")).status_code == 200

    await until(ready)
    assert (await http.get("/livez")).json() == {"ok": True, "reason": None}
    assert (await http.get("/elsewhere")).status_code == 404
    good = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    bad = await client.submit_upload(user_id, filename="a.zip", content=b"x")
    for job in (good, bad):
        await until_finished(client, user_id, job.job_id)

    async def counted() -> bool:
        found = await samples(http)
        return (
            found.get(("vibe8_attempts_finished_total", ("", "completed"))) == 1
            and found.get(("vibe8_attempts_finished_total", ("InvalidInputError", "failed"))) == 1
            and found[("vibe8_claims_total", ("claimed",))] == 2
            and found[("vibe8_job_duration_seconds_count", ())] == 1
            and found[("vibe8_stage_duration_seconds_count", ("collecting",))] == 1
            and found[("vibe8_collector_cpu_seconds_count", ("size",))] == 1
            and found[("vibe8_job_wait_seconds_count", ())] == 2
        )

    await until(counted)

    async def queue_counted() -> bool:  # maintenance counts every ten seconds
        return (await samples(http)).get(("vibe8_jobs", ("completed",))) == 1

    await until(queue_counted)


async def test_worker_short_of_disk_space_is_alive_but_not_ready(system: System) -> None:
    async with system.worker(STATUS_PORT="0", MIN_FREE_DISK_MB="100000000") as worker:
        (started,) = await worker.until("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['status_port']}") as http:

            async def short_of_disk() -> bool:
                answer = await http.get("/readyz")
                return answer.status_code == 503 and "MIN_FREE_DISK_MB" in answer.json()["reason"]

            await until(short_of_disk)
            assert (await http.get("/livez")).status_code == 200


async def test_worker_logs_the_guarantees_of_its_sandbox(worker: WorkerProcess) -> None:
    (entry,) = await worker.until("sandbox.checked")
    assert {"only its own files", "no network", "no privileges"} <= {*entry["available"], *entry["missing"]}


async def test_worker_without_a_required_sandbox_does_not_start(system: System) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.hostile.support.degraded_machine",
        "--without",
        "landlock",
        "--",
        *COMMAND,
        "worker",
    ]
    environment = system.process_environment(SANDBOX="required")
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    finished = await asyncio.to_thread(run, command, env=environment, cwd=ROOT)
    assert finished.returncode == 2
    (line,) = [line for line in finished.stderr.splitlines() if "SANDBOX" in line]
    assert "SANDBOX=required cannot be met" in line
    assert "only its own files (Landlock" in line


async def test_a_status_port_in_use_is_reported(system: System) -> None:
    async with system.worker(STATUS_PORT="0") as worker:
        (started,) = await worker.until("worker.started")
        finished = await system.run("worker", STATUS_PORT=str(started["status_port"]))
    assert finished.code == 2
    assert "STATUS_PORT" in finished.error
