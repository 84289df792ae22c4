"""Jobs that are cancelled, requeued, out of time or killed leave no process and no file behind."""

import asyncio
import random
import signal
from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.jobs import JobStatus
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.processes import alive, descendants, job_processes, job_scratch
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client


async def until_collecting(worker: WorkerProcess) -> None:
    """Wait until the analysis child and at least one of its pool processes run."""
    await until(lambda: len(job_processes(worker.process.pid)) >= 2)


async def test_a_running_job_is_cancelled_within_five_seconds(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    job = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
    await until_collecting(worker)
    children = job_processes(worker.process.pid)
    await client.cancel_job(user_id, job.job_id)
    async with asyncio.timeout(5):
        await until(lambda: not alive(children) and not job_scratch(system), 5)
        ended = await until_finished(client, user_id, job.job_id)
    assert (ended.status, ended.error_message) == (JobStatus.FAILED, "cancelled by user")
    with pytest.raises(InvalidInputError, match="submit it again"):
        await client.retry_job(user_id, job.job_id)
    assert await Rows(system).runs() == []


async def test_a_pending_job_is_cancelled_at_once(client: Client, user_id: UUID, system: System) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    ended = await client.cancel_job(user_id, job.job_id)
    assert (ended.status, ended.error_message) == (JobStatus.FAILED, "cancelled by user")
    async with system.worker():
        other = await client.submit_upload(user_id, filename="b.py", content=PYTHON_FILE)
        await until_finished(client, user_id, other.job_id)
    assert await Rows(system).runs() == [other.job_id]


async def test_deleting_a_user_ends_the_users_running_jobs(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    await client.submit_upload(user_id, filename="slow.py", content=slow_source())
    await until_collecting(worker)
    children = job_processes(worker.process.pid)
    await client.delete_user(user_id)
    await until(lambda: not alive(children) and not job_scratch(system), 5)
    await worker.until("job.lease_lost")
    assert await Rows(system).runs() == []


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
async def test_a_second_signal_requeues_running_jobs_at_once(
    system: System, client: Client, user_id: UUID, signals: list[int]
) -> None:
    rows = Rows(system)
    async with system.worker("first") as first:
        job = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
        await until_collecting(first)
        children = descendants(first.process.pid)
        first.process.send_signal(signals[0])
        await first.until("worker.draining")
        assert await first.stop(signals[1]) == 0
    assert not alive(children)
    row = await rows.job(job.job_id)
    assert (row["status"], row["attempt_errors"]) == ("pending", "[]")
    assert job_scratch(system) == []
    async with system.worker("second"):
        await until_finished(client, user_id, job.job_id)
    assert await rows.runs() == [job.job_id]


@pytest.mark.fault("SIGTERM at random moments of 30 jobs")
async def test_sigterm_at_random_moments_costs_no_attempt(system: System, client: Client) -> None:
    rows = Rows(system)
    jobs = []
    for number in range(30):
        user = await client.get_or_create_user(f"user{number // 5}@example.org")
        source = PYTHON_FILE * random.choice([1, 300])
        jobs.append((await client.submit_upload(user, filename="a.py", content=source)).job_id)
    seconds = random.Random(8)
    for turn in range(4):
        async with system.worker(f"turn{turn}", SHUTDOWN_GRACE=str(seconds.choice([0, 2]))) as worker:
            await asyncio.sleep(seconds.uniform(0.0, 1.5))
            assert await worker.stop() == 0
            assert "Traceback" not in worker.log_file.read_text()
        assert (await rows.statuses()).get("running", 0) == 0
    async with system.worker("last"):

        async def done() -> bool:
            return (await rows.statuses()) == {"completed": len(jobs)}

        await until(done, 120)
    assert sorted(await rows.runs()) == sorted(jobs)
    assert await rows.all("SELECT job_id FROM jobs WHERE attempt_errors <> '[]'") == []


@pytest.mark.fault("a job whose child hangs until its deadline")
async def test_a_job_whose_child_hangs_is_not_tried_three_times_and_other_jobs_complete(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker(ARQ_JOB_TIMEOUT="1"):
        slow = await client.submit_upload(user_id, filename="slow.py", content=slow_source(12_000))
        others = [await client.submit_upload(user_id, filename=f"{n}.py", content=PYTHON_FILE) for n in range(3)]
        ended = await until_finished(client, user_id, slow.job_id)
        for other in others:
            assert (await until_finished(client, user_id, other.job_id)).status is JobStatus.COMPLETED
    assert ended.status is JobStatus.FAILED
    assert ended.error_message is not None
    assert ended.error_message.startswith("the analysis took longer than 1 s (ARQ_JOB_TIMEOUT)")
    assert len(ended.attempt_errors) <= 2  # 1 if no stage ended in the last half second of the first
    assert job_scratch(system) == []


async def test_a_worker_is_recycled_without_losing_a_job(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker(RECYCLE_AFTER_JOBS="2") as worker:
        jobs = [await client.submit_upload(user_id, filename=f"{n}.py", content=PYTHON_FILE) for n in range(5)]
        for job in jobs:
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
        await worker.until("worker.started", 2)
        assert worker.process.poll() is None
    assert sorted(await Rows(system).runs()) == sorted(job.job_id for job in jobs)


async def test_no_job_is_claimed_while_disk_space_is_short(system: System, client: Client, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with system.worker("full", MIN_FREE_DISK_MB="100000000") as full:
        (paused,) = await full.until("claim.paused")
        assert "MIN_FREE_DISK_MB" in paused["reason"]
        assert (await client.get_job(user_id, job.job_id)).attempt == 0
    async with system.worker("second"):
        assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
