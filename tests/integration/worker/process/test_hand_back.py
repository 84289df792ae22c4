"""Jobs that wait for a core go to another worker that has room: once, and without an attempt spent."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.jobs import JobStatus
from infrastructure.redis.worker_registry import WorkerRegistry
from tests.fixtures.control.busy_cores import stop_analysis, take_all_cores, until_stage
from tests.fixtures.control.changed_worker import changed_worker
from tests.fixtures.database import Rows
from tests.fixtures.jobs import archive
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client

WAITING = "waiting for a core"
IMPATIENT = {
    "worker.jobs.room_elsewhere.HAND_BACK_SECONDS": 0.2,
    "worker.process.registration.INTERVAL_SECONDS": 0.1,
    "worker.process.job_pool.HOLD_BACK_SECONDS": 1.0,
}
"""A worker that would hand a job back many times during a test, if it did so more than once."""


async def submit_waiting(client: Client, user_id: UUID, *archives: bytes) -> list[str]:
    """Submit to a worker without a free core, and wait until the jobs wait for one."""
    jobs = []
    for content in archives:
        jobs.append((await client.submit_upload(user_id, filename="a.zip", content=content)).job_id)
        await until_stage(client, user_id, jobs[-1], WAITING)
    return jobs


def requeued(worker: WorkerProcess) -> Counter[str]:
    return Counter(entry["job_id"] for entry in worker.log() if entry["event"] == "job.requeued")


async def until_registered(system: System, worker: WorkerProcess, times: int) -> None:
    """Wait until the worker has renewed its registry entry so many times."""
    seen: set[float] = set()
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:

        async def renewed() -> bool:
            entries = await WorkerRegistry(redis).workers()
            seen.update(entry.seen_at for entry in entries if entry.pid == worker.process.pid)
            return len(seen) >= times

        await until(renewed)


async def test_waiting_jobs_run_on_a_worker_that_is_started_later(
    system: System, client: Client, user_id: UUID
) -> None:
    async with changed_worker(system, "first", IMPATIENT) as first:
        running = await take_all_cores(client, user_id, first)
        waiting = await submit_waiting(client, user_id, archive(1), archive(2))
        async with system.worker("second") as second:
            for job_id in waiting:
                ended = await until_finished(client, user_id, job_id)
                assert (ended.status, ended.attempt, ended.attempt_errors) == (JobStatus.COMPLETED, 2, ())
            assert requeued(first) == dict.fromkeys(waiting, 1)
            done = [entry["job_id"] for entry in second.log() if entry["event"] == "job.completed"]
            assert sorted(done) == sorted(waiting)
            row = await Rows(system).job(running)
            assert (row["status"], row["attempt"]) == ("running", 1)


@pytest.mark.slow
async def test_job_that_was_handed_back_is_not_handed_back_again(system: System, client: Client, user_id: UUID) -> None:
    """The second worker has no core for it either, and the first has room again."""
    async with changed_worker(system, "first", IMPATIENT) as first:
        await take_all_cores(client, user_id, first)
        waiting = await submit_waiting(client, user_id, *(archive(number, functions=8_000) for number in (1, 2)))
        async with changed_worker(system, "second", IMPATIENT) as second:
            # Either may be handed back first, and then has the cores of the second worker.
            stopping = [asyncio.create_task(stop_analysis(client, user_id, each, second)) for each in waiting]
            await asyncio.wait(stopping, return_when=asyncio.FIRST_COMPLETED)
            if stopping[1].done():
                waiting.reverse()
            for task in stopping:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)
            await until_stage(client, user_id, waiting[1], WAITING)
            await until_registered(system, second, 30)
            assert requeued(first) == dict.fromkeys(waiting, 1)
            assert requeued(second) == {}
            await client.cancel_job(user_id, waiting[0])
            ended = await until_finished(client, user_id, waiting[1])
            assert (ended.status, ended.attempt, ended.attempt_errors) == (JobStatus.COMPLETED, 2, ())


async def test_job_waits_where_it_is_while_no_other_worker_runs(system: System, client: Client, user_id: UUID) -> None:
    async with changed_worker(system, "worker", IMPATIENT) as worker:
        running = await take_all_cores(client, user_id, worker)
        (waiting,) = await submit_waiting(client, user_id, archive())
        await until_registered(system, worker, 30)
        await client.cancel_job(user_id, running)
        ended = await until_finished(client, user_id, waiting)
        assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
        assert requeued(worker) == {}
