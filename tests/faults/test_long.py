"""The long half of the fault suite: `make faults`."""

import asyncio
import os
import random
import shlex
import signal
import sys
from contextlib import AsyncExitStack, suppress

import asyncpg
import psutil
import pytest

from domain.jobs import JobStatus
from tests.support.faults import PYTHON_FILE, Rows, alive, descendants, job_scratch, slow_source, until
from tests.support.worker import COMMAND, System, until_finished
from worker.client import Client

pytestmark = pytest.mark.slow


async def submit_for_many(client: Client, count: int, source: bytes) -> list[str]:
    jobs = []
    for number in range(count):
        user = await client.get_or_create_user(f"user{number // 5}@example.org")
        jobs.append((await client.submit_upload(user, filename="a.py", content=source)).job_id)
    return jobs


async def terminal(rows: Rows, count: int) -> bool:
    statuses = await rows.statuses()
    return statuses.get("completed", 0) + statuses.get("failed", 0) == count


async def test_a_random_worker_of_three_killed_every_20_seconds(system: System, client: Client) -> None:
    rows, chance = Rows(system), random.Random(20)
    jobs = await submit_for_many(client, 60, slow_source(2500))
    everyone: list[psutil.Process] = []
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(system.worker(f"w{n}", ARQ_MAX_JOBS="4")) for n in range(3)]
        for turn in range(15):
            await asyncio.sleep(20)
            victim = chance.randrange(3)
            everyone += descendants(workers[victim].process.pid)
            workers[victim].process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(workers[victim].process.wait)
            workers[victim] = await stack.enter_async_context(system.worker(f"t{turn}", ARQ_MAX_JOBS="4"))
        await until(lambda: terminal(rows, len(jobs)), 300)
        attempts = await rows.all("SELECT max(jsonb_array_length(attempt_errors)) AS most FROM jobs")
    completed = [row["job_id"] for row in await rows.all("SELECT job_id FROM jobs WHERE status = 'completed'")]
    assert sorted(await rows.runs()) == sorted(completed)
    assert attempts[0]["most"] <= 3
    assert not alive(everyone)
    assert job_scratch(system) == []


async def test_four_replicas_of_twenty_slots(system: System, client: Client) -> None:
    """80 jobs run at once, and no more children compute than there are cores in each replica's bound."""
    rows = Rows(system)
    await submit_for_many(client, 100, slow_source(2500))
    most_running = most_computing = 0
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(system.worker(f"w{n}")) for n in range(4)]
        for _ in range(40):
            await asyncio.sleep(0.25)
            most_running = max(most_running, (await rows.statuses()).get("running", 0))
            rows_now = await rows.all(
                "SELECT count(*) AS n FROM jobs WHERE stage = 'collecting' AND status = 'running'"
            )
            most_computing = max(most_computing, rows_now[0]["n"])
        assert all(worker.process.poll() is None for worker in workers)
    cores = len(os.sched_getaffinity(0))
    assert most_running == 80
    assert most_computing <= 4 * cores


async def test_all_connections_taken(system: System, client: Client) -> None:
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


async def test_a_full_disk_fails_that_job_clearly(
    system: System, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's scratch is a file system of 2 MB."""
    scratch = system.directory / "scratch"
    scratch.mkdir()
    user_id = await client.get_or_create_user("ann@example.org")
    mount = f'mount -t tmpfs -o size=2m tmpfs {shlex.quote(str(scratch))} && exec "$@"'
    namespaces = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    monkeypatch.setattr("tests.support.worker.COMMAND", [*namespaces, "sh", "-c", mount, "sh", *COMMAND])
    async with system.worker(MIN_FREE_DISK_MB="0") as worker:
        large = await client.submit_upload(user_id, filename="large.py", content=b"#" * 1_900_000 + b"\nx = 1\n")
        small = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await until_finished(client, user_id, small.job_id)
        ended = await until_finished(client, user_id, large.job_id)
        assert worker.process.poll() is None
    assert sys.platform == "linux"
    assert (await client.get_job(user_id, small.job_id)).status is JobStatus.COMPLETED
    assert ended.status is JobStatus.COMPLETED or "scratch" in (ended.error_message or "")


async def test_soak(system: System, client: Client) -> None:
    """2,000 one-file jobs through one worker: one run each, and memory that does not grow."""
    rows, count, sizes = Rows(system), 2000, []
    async with system.worker(RECYCLE_AFTER_JOBS="0") as worker:
        process = psutil.Process(worker.process.pid)
        done = 0
        while done < count:
            await submit_for_many(client, 200, PYTHON_FILE)
            done += 200
            await until(lambda done=done: terminal(rows, done), 300)  # type: ignore[misc]
            sizes.append(sum(one.memory_info().rss for one in [process, *descendants(process.pid)]))
    assert (await rows.statuses()) == {"completed": count}
    assert len(set(await rows.runs())) == count
    assert sizes[-1] < 1.15 * sizes[2], sizes
