"""Workers killed at each step of the check of a tracked repository: each change has one job all the same."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from domain.tracking.repository import AnalysisStatus
from tests.faults.support.shifted_clocks import shifted_clock
from tests.faults.support.transition_audit import audited
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, new_system
from worker.client import Client

FAULTS = {
    "check-claimed": "SIGKILL after the claim of a check",
    "heads-found": "SIGKILL after a moved branch was found",
    "head-before-commit": "SIGKILL between the job of a moved branch and the commit",
    "head-committed": "SIGKILL after the commit of job and head",
}


async def end_lease(system: System) -> None:
    """Let the dead worker's claim run out, which otherwise takes two minutes."""
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:
        await connection.execute("UPDATE repositories SET check_lease_until = now() - interval '1 second'")
    finally:
        await connection.close()


async def die_and_recover(
    system: System, point: str, url: str, tree: WorkTree, record_property: Callable[[str, object], None]
) -> None:
    async with (
        Client.open(system.settings) as client,
        audited(system.environment["DATABASE_URL"], FAULTS[point], record_property),
    ):
        user_id = await client.get_or_create_user("ann@example.org")
        added = await client.repositories.add(user_id, url=url)
        async with system.worker("first", VIBE8_FAILPOINTS=point) as first:
            assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
        await end_lease(system)

        async def completed() -> bool:
            found = await client.repositories.get(user_id, added.repository_id)
            return found.analysis_status is AnalysisStatus.COMPLETED and not found.check_pending

        async with system.worker("second"), system.worker("third"):
            await until(completed, 60)
            jobs = await client.list_jobs(user_id)
            assert [job.source_metadata["tracked_head"] for job in jobs] == [tree.head()]
            for _ in range(3):
                await client.repositories.check(user_id, added.repository_id)
                await until(completed, 60)
            assert len(await Rows(system).runs()) == 1
        assert len(await client.list_jobs(user_id)) == 1


async def test_a_worker_killed_at_each_step_of_a_check(
    servers: Servers,
    tmp_path: Path,
    git_server: GitServer,
    small_tree: WorkTree,
    record_property: Callable[[str, object], None],
) -> None:
    url = git_server.add("owner/tracked", small_tree.dot_git)
    git = {"GIT_ALLOWED_HOSTS": git_server.allowed_host, "GIT_CA_BUNDLE": str(git_server.ca_file)}
    systems, names = [], []
    for point in FAULTS:
        names.append(servers.new_database())
        directory = tmp_path / point
        directory.mkdir()
        systems.append(new_system(servers.postgres.url(names[-1]), servers.new_redis_url(), directory, **git))
    try:
        async with asyncio.TaskGroup() as group:
            for system, point in zip(systems, FAULTS, strict=True):
                group.create_task(die_and_recover(system, point, url, small_tree, record_property))
    finally:
        for name in names:
            servers.drop_database(name)


def next_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


async def run_schedule(system: System, url: str, tree: WorkTree) -> None:
    rows = Rows(system)

    async def checked(heads: list[str]) -> bool:
        query = "SELECT source_metadata ->> 'tracked_head' AS head, status FROM jobs ORDER BY created_at"
        found = [(row["head"], row["status"]) for row in await rows.all(query)]
        pending = await rows.all("SELECT 1 FROM repositories WHERE check_requested_at IS NOT NULL")
        return not pending and found == [(head, "completed") for head in heads]

    async with Client.open(system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        added = await client.repositories.add(user_id, url=url, schedule="0 * * * *")
        early = system.worker("early", **shifted_clock(system.directory, "early", -300))
        late = system.worker("late", **shifted_clock(system.directory, "late", 300))
        async with early, late:
            heads = [tree.head()]
            await until(lambda: checked(heads))
            for _ in range(3):
                tree.commit(a_py=f"x = {len(heads)}\n")
                heads.append(tree.head())
                await client.repositories.check(user_id, added.repository_id)
                await until(lambda: checked(heads))
        hours = {next_hour()}
        found = await client.repositories.get(user_id, added.repository_id)
    assert found.next_check_at in hours | {next_hour()}


@pytest.mark.fault("checks by replicas with clocks 5 minutes off")
async def test_two_replicas_with_clocks_five_minutes_off_make_one_job_for_each_change(
    system: System, git_server: GitServer, small_tree: WorkTree
) -> None:
    """The database's clock decides when a check is due, and which hour its schedule names next."""
    url = git_server.add("owner/tracked", small_tree.dot_git)
    git = {"GIT_ALLOWED_HOSTS": git_server.allowed_host, "GIT_CA_BUNDLE": str(git_server.ca_file)}
    await run_schedule(system.with_settings(**git), url, small_tree)
