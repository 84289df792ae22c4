"""PostgreSQL, PgBouncer or a worker restarted while jobs run behind the PgBouncer."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from domain.jobs import JobStatus
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.servers import Servers
from tests.fixtures.worker_process import System, until_finished
from tests.pooler.held_jobs import all_completed, hold_job
from tests.pooler.pgbouncer import PgBouncer
from worker.client import Client

Restart = Callable[[], None]


@pytest.fixture(params=["PostgreSQL", "PgBouncer"])
def restart(request: pytest.FixtureRequest, servers: Servers, pooler: PgBouncer) -> Restart:
    """Restart one of the servers; all its connections are lost."""
    server = servers.postgres if request.param == "PostgreSQL" else pooler

    def stop_and_start() -> None:
        server.stop()
        server.start()

    return stop_and_start


async def test_jobs_survive_a_restart(
    restart: Restart,
    pooled_git_system: System,
    pooled_client: Client,
    git_server: GitServer,
    small_tree: WorkTree,
    system: System,
) -> None:
    async with pooled_git_system.worker("one") as one, pooled_git_system.worker("two") as two:
        held = await hold_job(pooled_client, git_server, small_tree)
        jobs = await submit_for_many(pooled_client, 20, PYTHON_FILE)
        await asyncio.to_thread(restart)
        held.release.set()
        await all_completed(system, len(jobs) + 1)
        assert (one.process.poll(), two.process.poll()) == (None, None)


async def test_job_of_a_killed_worker_runs_again_when_its_lease_has_run_out(
    pooled_git_system: System, pooled_client: Client, git_server: GitServer, small_tree: WorkTree, system: System
) -> None:
    rows = Rows(system)
    async with pooled_git_system.worker("first") as first:
        held = await hold_job(pooled_client, git_server, small_tree)
        await first.stop(signal.SIGKILL)
    held.release.set()
    async with pooled_git_system.worker("second"):
        assert (await rows.job(held.job.job_id))["status"] == "running"
        await rows.all("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE job_id = $1", held.job.job_id)
        ended = await until_finished(pooled_client, held.user_id, held.job.job_id)
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 2)
    assert await rows.runs() == [held.job.job_id]
