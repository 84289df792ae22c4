"""Workers killed with SIGKILL at each step of a job: it runs again within 45 s, or not at all once committed."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from domain.jobs import JobStatus
from tests.faults.support.transition_audit import audited
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.processes import alive, descendants, job_scratch
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, new_system, until_finished
from worker.client import Client

RESCUE_SECONDS = 45
RecordProperty = Callable[[str, object], None]
ATTEMPTS = {
    # failpoint at which the first worker dies: number of attempts of the completed job
    "picked-up": 1,
    "stage-fetching": 2,
    "stage-collecting": 2,
    "before-commit": 2,
    "committed": 1,
}

FAULTS = {
    "picked-up": "SIGKILL after the pick-up, before the claim",
    "stage-fetching": "SIGKILL while fetching",
    "stage-collecting": "SIGKILL while collecting",
    "before-commit": "SIGKILL between the insert and the commit",
    "committed": "SIGKILL after the commit, before the queue's acknowledgement",
}


async def die_and_recover(system: System, point: str, record_property: RecordProperty) -> None:
    async with (
        Client.open(system.settings) as client,
        audited(system.environment["DATABASE_URL"], FAULTS[point], record_property),
    ):
        user_id = await client.get_or_create_user("ann@example.org")
        async with system.worker("first", VIBE8_FAILPOINTS=point) as first:
            # By then the pool has claimed once, in vain: what makes it claim the job is the wake-up.
            await first.until("cleanup.completed")
            children = await until(lambda: descendants(first.process.pid))
            job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
            assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
            died = time.monotonic()
        rows = Rows(system)
        async with system.worker("second"):

            async def completed() -> bool:
                return bool((await rows.job(job.job_id))["status"] == "completed")

            await until(completed, RESCUE_SECONDS - (time.monotonic() - died))
            row = await rows.job(job.job_id)
            assert row["attempt"] == ATTEMPTS[point]
            assert [error["kind"] for error in _errors(row["attempt_errors"])] == ["worker lost"] * (
                ATTEMPTS[point] - 1
            )
            assert await rows.runs() == [job.job_id]
            await until(lambda: not alive(children))
            assert job_scratch(system) == []


def _errors(column: str) -> list[dict[str, str]]:
    import json

    return json.loads(column)  # type: ignore[no-any-return]


async def test_a_worker_killed_at_each_step(servers: Servers, tmp_path: Path, record_property: RecordProperty) -> None:
    systems, names = [], []
    for point in ATTEMPTS:
        names.append(servers.new_database())
        directory = tmp_path / point
        directory.mkdir()
        systems.append(new_system(servers.postgres.url(names[-1]), servers.new_redis_url(), directory))
    try:
        async with asyncio.TaskGroup() as group:
            for system, point in zip(systems, ATTEMPTS, strict=True):
                group.create_task(die_and_recover(system, point, record_property))
    finally:
        for name in names:
            servers.drop_database(name)


@pytest.mark.fault("SIGKILL in the middle of a clone")
async def test_a_worker_killed_in_the_middle_of_a_clone(
    git_server: GitServer, git_system: System, git_client: Client, user_id: UUID, small_tree: WorkTree
) -> None:
    url = git_server.add("owner/held", small_tree.dot_git)
    hold = git_server.blocked_fetches["owner/held"] = threading.Event()
    async with git_system.worker("first") as first:
        job = await git_client.submit_repository(user_id, url=url)
        await until(lambda: git_server.waiting_fetches)
        children = descendants(first.process.pid)
        assert any(child.name().startswith("git") for child in children)
        first.process.kill()
        await asyncio.to_thread(first.process.wait)
    hold.set()
    await until(lambda: not alive(children))
    async with git_system.worker("second"):
        ended = await until_finished(git_client, user_id, job.job_id)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 2)
    assert await Rows(git_system).runs() == [job.job_id]
    assert job_scratch(git_system) == []
