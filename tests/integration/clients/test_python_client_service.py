"""The Python client with a service and a worker of the test's own: what concerns every user of a service."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.network.http_service import RunningService, running_service
from tests.fixtures.worker_process import System, WorkerProcess
from tests.integration.clients.either_client import BOTH, either
from vibe8 import (
    Progress,
)
from worker.client import Client as OwnClient

BEFORE = {"a.py": "import os\ndef f(x):\n    return eval(x)\n" * 50, "b.py": "import a\n"}


@BOTH
async def test_what_operators_do(make: Any, service: RunningService, worker: WorkerProcess, key: str) -> None:
    async with either(make, service.address, key) as vibe8:
        assert (await vibe8.ops.pause()).paused is True
        job = await vibe8.jobs.submit_file(b"x = 1\n", filename="a.py")
        assert (await vibe8.ops.queue()).paused is True
        (listed,) = [each async for each in vibe8.ops.iterate_jobs(status=["pending"])]
        assert (listed.job_id, listed.owner) == (job.job_id, "ann@example.org")
        assert (await vibe8.ops.job(job.job_id)).notices == ()
        assert (await vibe8.ops.cancel(job.job_id)).cancel_requested_at is not None
        assert (await vibe8.ops.resume()).changed is True
        failing = await vibe8.jobs.submit_file(b"no zip", filename="a.zip")
        assert (await vibe8.jobs.wait(failing.job_id, timeout=120)).status == "failed"
        assert (await vibe8.ops.retry(failing.job_id)).status == "pending"
        actions = [entry.action async for entry in vibe8.ops.iterate_audit(user="ann@example.org", limit=2)]
        assert actions.count("submit") == 2
        (running,) = await vibe8.ops.workers()
        assert await vibe8.ops.drain(running.replica_id) == (running.replica_id,)


@BOTH
async def test_a_job_is_followed_through_a_restart_of_the_service(
    make: Any, system: System, client: OwnClient, user_id: UUID, key: str, unused_tcp_port: int
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=make_zip(BEFORE))).job_id
    port = {"HTTP_PORT": str(unused_tcp_port)}
    seen: list[Progress] = []
    async with either(make, f"http://127.0.0.1:{unused_tcp_port}", key) as vibe8:

        async def follow() -> None:
            async for each in vibe8.jobs.watch(job_id, timeout=120):
                seen.append(each)  # noqa: PERF401 - what was seen is read while it grows

        async with running_service(system, "first", **port):
            following = asyncio.create_task(follow())
            async with asyncio.timeout(60):
                while not seen:
                    await asyncio.sleep(0.02)
        async with running_service(system, "second", **port), system.worker():
            await following
    assert (seen[0].status, seen[-1].status) == ("pending", "completed")
    assert len(seen) == len(set(seen)), "nothing is told twice"


@pytest.mark.settings(HTTP_MAX_STREAMS="1")
@BOTH
async def test_a_job_is_polled_where_no_stream_can_be_had(
    make: Any, system: System, service: RunningService, client: OwnClient, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=make_zip(BEFORE))).job_id
    async with (
        either(make, service.address, key) as vibe8,
        service.client(key) as http,
        http.stream("GET", f"/api/v1/jobs/{job_id}/events") as occupied,
    ):
        assert occupied.status_code == 200
        following = vibe8.jobs.watch(job_id, timeout=120)
        assert (await anext(following)).status == "pending"
        async with system.worker():
            assert [each.status async for each in following][-1] == "completed"
