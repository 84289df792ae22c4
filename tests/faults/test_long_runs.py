"""Fault tests that take minutes: `make faults`."""

import asyncio
import itertools
import os
import random
import shlex
import signal
import time
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from domain.jobs import JobStatus
from infrastructure.redis.worker_registry import WorkerRegistry
from tests.faults.support.transition_audit import record_kill
from tests.fixtures.archives import make_zip
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import PYTHON_FILE, slow_source, submit_for_many
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.processes import alive, descendants, job_scratch
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import COMMAND, System, WorkerProcess, until_finished
from worker.analysis.core_pool import usable_cores
from worker.client import Client
from worker.process.bootstrap import PREFETCH

pytestmark = pytest.mark.slow


async def all_ended(rows: Rows, count: int) -> bool:
    statuses = await rows.statuses()
    return statuses.get("completed", 0) + statuses.get("failed", 0) == count


async def enough_running(rows: Rows, count: int) -> bool:
    return (await rows.statuses()).get("running", 0) >= count


@pytest.mark.fault("SIGKILL of a random worker of three every 20 s for 5 minutes")
async def test_a_random_worker_of_three_killed_every_20_seconds(system: System, client: Client) -> None:
    rows, chance = Rows(system), random.Random(20)
    jobs: list[str] = []
    everyone: list[psutil.Process] = []
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(system.worker(f"w{n}", ARQ_MAX_JOBS="4")) for n in range(3)]
        for turn in range(15):
            await asyncio.sleep(20)
            jobs += await submit_for_many(client, 12, slow_source(4000), first=3 * turn)
            await until(lambda: enough_running(rows, 6))
            killed = chance.randrange(3)
            everyone += descendants(workers[killed].process.pid)
            workers[killed].process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(workers[killed].process.wait)
            workers[killed] = await stack.enter_async_context(system.worker(f"t{turn}", ARQ_MAX_JOBS="4"))
        await until(lambda: all_ended(rows, len(jobs)), 300)
        attempts = await rows.all("SELECT max(jsonb_array_length(attempt_errors)) AS most FROM jobs")
    completed = [row["job_id"] for row in await rows.all("SELECT job_id FROM jobs WHERE status = 'completed'")]
    assert sorted(await rows.runs()) == sorted(completed)
    assert 1 <= attempts[0]["most"] <= 3
    assert not alive(everyone)
    assert job_scratch(system) == []


KILLS, KILLS_SECONDS = 34, 180
KILLABLE = """
    SELECT worker_id FROM jobs WHERE status = 'running' AND worker_id = ANY($1)
    GROUP BY worker_id HAVING max(jsonb_array_length(attempt_errors)) < 2
"""


class KilledFleet:
    """Three workers; whichever is killed is started again."""

    def __init__(self, system: System, stack: AsyncExitStack) -> None:
        self.system, self._stack = system, stack
        self.workers: dict[str, WorkerProcess] = {}
        self.children: list[psutil.Process] = []
        self._names = itertools.count()
        self._chance = random.Random(34)

    async def start(self) -> None:
        worker = await self._stack.enter_async_context(self.system.worker(f"w{next(self._names)}"))

        async def worker_id() -> str | None:
            async with Redis.from_url(self.system.environment["REDIS_URL"]) as redis:
                ids = {entry.pid: entry.replica_id for entry in await WorkerRegistry(redis).workers()}
            return ids.get(worker.process.pid)

        self.workers[await until(worker_id)] = worker

    async def kill_one(self) -> None:
        """Kill a worker that runs jobs, none of which has lost two workers: the third would fail it, as it should."""
        rows = Rows(self.system)

        async def stop_one() -> str | None:
            found = [row["worker_id"] for row in await rows.all(KILLABLE, list(self.workers))]
            if not found:
                return None
            chosen = self._chance.choice(sorted(found))
            self.workers[chosen].process.send_signal(signal.SIGSTOP)  # it claims nothing more
            if await rows.all(KILLABLE, [chosen]):
                return str(chosen)
            self.workers[chosen].process.send_signal(signal.SIGCONT)
            return None

        chosen = await until(stop_one)
        worker = self.workers.pop(chosen)
        self.children += descendants(worker.process.pid)
        await record_kill(self.system.environment["DATABASE_URL"], chosen)
        worker.process.kill()
        await asyncio.to_thread(worker.process.wait)


@pytest.mark.fault(f"{KILLS} SIGKILLs over three workers at work, one each {KILLS_SECONDS / KILLS:.1f} s")
async def test_34_kills_in_180_seconds_over_three_workers_fail_no_job(system: System, client: Client) -> None:
    rows, jobs = Rows(system), list[str]()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as starts:
        fleet = KilledFleet(system, stack)
        await asyncio.gather(*(fleet.start() for _ in range(3)))
        began = time.monotonic()
        for number in range(KILLS):
            await asyncio.sleep(began + number * KILLS_SECONDS / KILLS - time.monotonic())
            jobs += await submit_for_many(client, 5, slow_source(2000), first=number)
            await fleet.kill_one()
            starts.create_task(fleet.start())
        print(f"{KILLS} kills in {time.monotonic() - began:.0f} s, {len(jobs)} jobs")
        await until(lambda: all_ended(rows, len(jobs)), 300)
        lost = await rows.all(
            "SELECT jsonb_array_length(attempt_errors) AS n, count(*) FROM jobs GROUP BY n ORDER BY n"
        )
        print("workers lost by a job, jobs:", [tuple(row.values()) for row in lost])
    assert await rows.statuses() == {"completed": len(jobs)}
    assert sorted(await rows.runs()) == sorted(jobs)
    assert sum(row["n"] * row["count"] for row in lost) >= KILLS
    assert not alive(fleet.children)


async def test_four_workers_fill_their_room_and_compute_on_their_cores(system: System, client: Client) -> None:
    """Each runs as many jobs as it has room for, and at most as many of them compute as it has cores."""
    rows, cores = Rows(system), usable_cores()
    room = 4 * (cores + PREFETCH)
    computing = []

    async def all_room_is_taken() -> bool:
        stages = await rows.all("SELECT stage FROM jobs WHERE status = 'running'")
        computing.append(sum(row["stage"] == "collecting" for row in stages))
        return len(stages) == room

    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(system.worker(f"w{n}")) for n in range(4)]
        await submit_for_many(client, 2 * room, slow_source(4000))
        await until(all_room_is_taken, 180)
        await until(lambda: _nothing_pending(rows), 600)
        assert all(worker.process.poll() is None for worker in workers)
    assert max(computing) <= 4 * cores


async def _nothing_pending(rows: Rows) -> bool:
    return not (await rows.statuses()).get("pending")


@pytest.mark.fault("all connections of PostgreSQL taken")
async def test_worker_survives_that_all_connections_are_taken(system: System, client: Client) -> None:
    rows = Rows(system)
    user_id = await client.get_or_create_user("ann@example.org")
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    taken: list[asyncpg.Connection] = []
    async with system.worker() as worker:
        await until_finished(client, user_id, job.job_id)
        with suppress(asyncpg.TooManyConnectionsError):
            while len(taken) < 1000:
                taken.append(await asyncpg.connect(system.environment["DATABASE_URL"]))
        assert len(taken) < 1000
        await asyncio.sleep(15)
        assert worker.process.poll() is None
        await asyncio.gather(*(connection.close() for connection in taken))
        second = await client.submit_upload(user_id, filename="b.py", content=PYTHON_FILE)
        assert (await until_finished(client, user_id, second.job_id)).status is JobStatus.COMPLETED
    assert len(await rows.runs()) == 2


@pytest.fixture
def small_disk(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the workers' scratch on a file system of 2 MB."""
    scratch = system.directory / "scratch"
    scratch.mkdir()
    mount = f'mount -t tmpfs -o size=2m,mode=711 tmpfs {shlex.quote(str(scratch))} && exec "$@"'
    namespaces = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    monkeypatch.setattr("tests.fixtures.worker_process.COMMAND", [*namespaces, "sh", "-c", mount, "sh", *COMMAND])


@pytest.mark.fault("disk full while cloning")
@pytest.mark.usefixtures("small_disk")
async def test_a_disk_full_while_cloning_fails_only_that_job(
    git_server: GitServer, git_system: System, git_client: Client, user_id: UUID, small_tree: WorkTree
) -> None:
    small_tree.commit(data_py=b"x = 1\n", noise=random.Random(1).randbytes(6_000_000))
    url = git_server.add("owner/large", small_tree.dot_git)
    async with git_system.worker(MIN_FREE_DISK_MB="0") as worker:
        large = await git_client.submit_repository(user_id, url=url)
        small = await git_client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        ended = await until_finished(git_client, user_id, large.job_id)
        assert (await until_finished(git_client, user_id, small.job_id)).status is JobStatus.COMPLETED
        assert worker.process.poll() is None
    assert ended.status is JobStatus.FAILED
    assert "scratch" in (ended.error_message or ""), ended.error_message


@pytest.mark.fault("disk full while writing scratch")
@pytest.mark.usefixtures("small_disk")
async def test_a_disk_full_while_writing_scratch_fails_only_that_job(system: System, client: Client) -> None:
    user_id = await client.get_or_create_user("ann@example.org")
    async with system.worker(MIN_FREE_DISK_MB="0") as worker:
        noise = random.Random(2).randbytes(600_000).hex()
        sources = make_zip({f"{n}.py": f"# {noise}" for n in range(3)})
        large = await client.submit_upload(user_id, filename="large.zip", content=sources)
        small = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await until_finished(client, user_id, small.job_id)
        ended = await until_finished(client, user_id, large.job_id)
        assert worker.process.poll() is None
    assert (await client.get_job(user_id, small.job_id)).status is JobStatus.COMPLETED
    assert ended.status is JobStatus.FAILED
    assert "scratch" in (ended.error_message or ""), ended.error_message


@pytest.mark.fault("none: a soak of one-file jobs")
async def test_two_thousand_jobs_leak_no_memory(system: System, client: Client) -> None:
    """Each job has one run, and memory does not grow."""
    rows, count, sizes = Rows(system), 2000, []
    async with system.worker(RECYCLE_AFTER_JOBS="0") as worker:
        process = psutil.Process(worker.process.pid)
        done = 0
        while done < count:
            await submit_for_many(client, 200, PYTHON_FILE)
            done += 200
            await until(lambda done=done: all_ended(rows, done), 300)  # type: ignore[misc]
            sizes.append(sum(one.memory_info().rss for one in [process, *descendants(process.pid)]))
    assert (await rows.statuses()) == {"completed": count}
    assert len(set(await rows.runs())) == count
    assert sizes[-1] < 1.15 * sizes[2], sizes
