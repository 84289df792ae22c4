"""A job that is held in its fetch until the test releases it."""

import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.jobs import Job
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client


@dataclass(frozen=True)
class HeldJob:
    """A running job, its owner, and the event that lets its fetch go on."""

    job: Job
    user_id: UUID
    release: threading.Event


async def hold_job(client: Client, git_server: GitServer, tree: WorkTree, name: str = "owner/held") -> HeldJob:
    """Submit a job, and wait until a worker fetches its repository."""
    url = git_server.add(name, tree.dot_git)
    release = git_server.blocked_fetches[name] = threading.Event()
    user_id = await client.get_or_create_user(f"{name.replace('/', '-')}@example.org")
    job = await client.submit_repository(user_id, url=url)
    await until(lambda: name in git_server.waiting_fetches)
    return HeldJob(job, user_id, release)


def assert_no_outage(log: list[dict[str, Any]]) -> None:
    """Check that PostgreSQL never was unavailable, and no job was lost."""
    outages = {
        "lease.renewal_failed",
        "claim.failed",
        "claim.paused",
        "maintenance.failed",
        "job.lost",
        "job.lease_lost",
    }
    assert [entry for entry in log if entry["event"] in outages] == []


async def all_completed(system: System, count: int) -> None:
    """Wait until so many jobs have completed, and check that each has one run."""
    rows = Rows(system)

    async def done() -> bool:
        return await rows.statuses() == {"completed": count}

    await until(done, 120)
    runs = await rows.runs()
    assert len(runs) == len(set(runs)) == count
