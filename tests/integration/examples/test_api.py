"""The example API over HTTP, with a worker."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.network.webhook_server import webhook_receiver
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, new_system

ANN, BOB = {"X-User": "ann@example.org"}, {"X-User": "bob@example.org"}


@pytest.fixture
async def api(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(system) as http:
        yield http


@asynccontextmanager
async def serving(system: System) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "examples.api:app", "--port", str(port), "--log-level", "warning"],
        cwd=Path(__file__).parents[3],
        env=system.process_environment(),
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=ANN, timeout=60) as http:

            async def answers() -> bool:
                try:
                    return (await http.get("/runs")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers)
            yield http
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def test_upload_from_submission_to_result(api: httpx.AsyncClient, worker: WorkerProcess) -> None:
    content = make_zip({"a.py": "def f(x):\n    return x\n" * 200, "b.py": "import a\n"})
    accepted = await api.post("/uploads", files={"file": ("code.zip", content)})
    assert accepted.status_code == 202
    job_id = accepted.json()["job_id"]

    async with api.stream("GET", f"/jobs/{job_id}/events") as stream:
        lines = [line async for line in stream.aiter_lines()]
    seen = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert seen[-1]["status"] == "completed"
    assert [event["progress"] for event in seen] == sorted(event["progress"] for event in seen)

    assert (await api.get(f"/jobs/{job_id}", headers=BOB)).status_code == 404
    assert (await api.post(f"/jobs/{job_id}/result", headers=BOB)).status_code == 404
    taken = await api.post(f"/jobs/{job_id}/result")
    assert taken.status_code == 200
    assert taken.json()["metrics"]["size"]["files"] == 2
    assert (await api.post(f"/jobs/{job_id}/result")).status_code == 404
    assert len((await api.get("/runs")).json()) == 1


async def test_invalid_and_failed_submissions_get_4xx(api: httpx.AsyncClient, worker: WorkerProcess) -> None:
    assert (await api.post("/uploads", files={"file": ("a.txt", b"x")})).status_code == 422
    refused = await api.post("/repositories", data={"url": "http://example.org/a/b"})
    assert (refused.status_code, refused.json()) == (422, {"detail": "the repository URL must start with https://"})
    failed = await api.post("/uploads", files={"file": ("a.zip", b"no zip")})
    job_id = failed.json()["job_id"]

    async def ended() -> bool:
        return bool((await api.get(f"/jobs/{job_id}")).json()["status"] == "failed")

    await until(ended)
    assert (await api.delete(f"/jobs/{job_id}")).status_code == 409
    taken = await api.post(f"/jobs/{job_id}/result")
    assert taken.status_code == 422
    assert "not a zip" in taken.json()["error_message"]


async def test_webhook_is_sent_when_the_job_ends(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with webhook_receiver() as listening:
        more = {"WEBHOOK_SECRETS": "s" * 32, "WEBHOOK_ALLOWED_HOSTS": listening.host}
        told = new_system(database_url, redis_url, tmp_path, **more)
        async with serving(told) as api, told.worker():
            form = {"notify_url": listening.url}
            accepted = await api.post("/uploads", files={"file": ("a.py", b"x = 1\n")}, data=form)
            assert accepted.status_code == 202
            (received,) = await listening.wait_for(1)
            assert received.document["job_id"] == accepted.json()["job_id"]
            assert received.document["status"] == "completed"
            inside = await api.post(
                "/uploads", files={"file": ("a.py", b"x = 1\n")}, data={"notify_url": "https://10.0.0.1"}
            )
            assert inside.status_code == 422


async def test_exceeded_limit_gets_429(api: httpx.AsyncClient) -> None:
    codes = [(await api.post("/uploads", files={"file": ("a.py", b"x = 1\n")})).status_code for _ in range(6)]
    assert codes == [202] * 5 + [429]
