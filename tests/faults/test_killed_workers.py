"""Workers killed with SIGKILL at every step of a job: it runs again within 45 s, or not at all once committed."""

import asyncio
import signal
import time
from pathlib import Path

from tests.support.faults import PYTHON_FILE, Rows, alive, descendants, job_scratch, until
from tests.support.servers import Servers
from tests.support.worker import System, new_system
from worker.client import Client

SECONDS = 45
POINTS = {
    # where the first worker dies: how many attempts the job has had when it is done
    "picked-up": 1,
    "stage-fetching": 2,
    "stage-collecting": 2,
    "before-commit": 2,
    "committed": 1,
}


async def die_and_recover(system: System, point: str) -> None:
    async with Client.open(system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        async with system.worker("first", VIBE8_FAILPOINTS=point) as first:
            job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
            children = await until(lambda: descendants(first.process.pid))
            assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
            died = time.monotonic()
        rows = Rows(system)
        async with system.worker("second"):

            async def completed() -> bool:
                return bool((await rows.job(job.job_id))["status"] == "completed")

            await until(completed, SECONDS - (time.monotonic() - died))
            row = await rows.job(job.job_id)
            assert row["attempt"] == POINTS[point]
            assert [error["kind"] for error in _errors(row["attempt_errors"])] == ["worker lost"] * (POINTS[point] - 1)
            assert await rows.runs() == [job.job_id]
            await until(lambda: not alive(children))
            assert job_scratch(system) == []


def _errors(column: str) -> list[dict[str, str]]:
    import json

    return json.loads(column)  # type: ignore[no-any-return]


async def test_a_worker_killed_at_each_step(servers: Servers, tmp_path: Path) -> None:
    systems, names = [], []
    for point in POINTS:
        names.append(servers.new_database())
        directory = tmp_path / point
        directory.mkdir()
        systems.append(new_system(servers.postgres.url(names[-1]), servers.new_redis_url(), directory))
    try:
        async with asyncio.TaskGroup() as group:
            for system, point in zip(systems, POINTS, strict=True):
                group.create_task(die_and_recover(system, point))
    finally:
        for name in names:
            servers.drop_database(name)
