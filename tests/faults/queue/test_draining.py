"""SIGTERM at the moments that a signal meets by chance: during a claim, and during the write of an end."""

import asyncio
import signal
from contextlib import suppress

import pytest

from domain.jobs import JobStatus
from tests.fixtures.control.changed_worker import held_worker, release_jobs
from tests.fixtures.control.statement_gate import statement_gate
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System, WorkerProcess
from worker.client import Client

CLAIMED = "EXISTS (SELECT 1 FROM changed WHERE status = 'running')"
FAILED = "EXISTS (SELECT 1 FROM changed WHERE status = 'failed')"


WAIT_SECONDS = 3.0


async def does_not_end_yet(worker: WorkerProcess) -> bool:
    """Return whether the worker still runs after a while: nothing tells that it waits for an answer."""
    with suppress(TimeoutError):
        await until(lambda: worker.process.poll() is not None, WAIT_SECONDS)
    return worker.process.poll() is None


async def statuses_are(rows: Rows, **expected: int) -> bool:
    return await rows.statuses() == expected


@pytest.mark.fault("SIGTERM during a claim")
async def test_jobs_of_a_claim_that_is_not_yet_answered_are_requeued(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    """The claim is committed, and its answer on the way."""
    rows = Rows(system)
    async with (
        statement_gate(system.environment["DATABASE_URL"], "jobs", "UPDATE", CLAIMED) as gate,
        held_worker(proxied_system, "worker", SHUTDOWN_GRACE="0") as worker,
    ):
        jobs = await submit_for_many(client, 1, PYTHON_FILE)
        await gate.until_reached()
        proxies.postgresql.hold_answers()
        await gate.open()
        await until(lambda: statuses_are(rows, running=len(jobs)))
        worker.process.send_signal(signal.SIGTERM)
        await worker.until("worker.draining")
        assert await does_not_end_yet(worker)
        proxies.postgresql.release_answers()
        assert await asyncio.to_thread(worker.process.wait, TIMEOUT_SECONDS) == 0
    assert await rows.statuses() == {"pending": len(jobs)}
    async with system.worker("second"):
        await until(lambda: statuses_are(rows, completed=len(jobs)))
    assert await rows.all("SELECT 1 FROM jobs WHERE attempt_errors <> '[]'") == []


@pytest.mark.fault("SIGTERM while a failure is written")
async def test_failure_that_is_being_written_is_written(system: System, client: Client) -> None:
    rows = Rows(system)
    user_id = await client.get_or_create_user("ann@example.org")
    async with (
        statement_gate(system.environment["DATABASE_URL"], "jobs", "UPDATE", FAILED) as gate,
        system.worker(SHUTDOWN_GRACE="0") as worker,
    ):
        job = await client.submit_upload(user_id, filename="a.zip", content=b"no zip")
        await gate.until_reached()
        worker.process.send_signal(signal.SIGTERM)
        await worker.until("worker.draining")
        assert await does_not_end_yet(worker)
        await gate.open()
        assert await asyncio.to_thread(worker.process.wait, TIMEOUT_SECONDS) == 0
        assert [entry["job_id"] for entry in worker.log() if entry["event"] == "job.failed"] == [job.job_id]
    assert await rows.statuses() == {"failed": 1}


@pytest.mark.fault("SIGTERM while results are written")
async def test_results_that_are_being_written_are_written_and_logged(system: System, client: Client) -> None:
    rows = Rows(system)
    jobs = await submit_for_many(client, 5, PYTHON_FILE)
    async with (
        statement_gate(system.environment["DATABASE_URL"], "analysis_runs", "INSERT") as gate,
        held_worker(system, "worker", SHUTDOWN_GRACE="0") as worker,
    ):
        await until(lambda: statuses_are(rows, running=len(jobs)))
        release_jobs(system)
        await gate.until_reached()
        worker.process.send_signal(signal.SIGTERM)
        await worker.until("worker.draining")
        assert await does_not_end_yet(worker)
        await gate.open()
        assert await asyncio.to_thread(worker.process.wait, TIMEOUT_SECONDS) == 0
        done = sorted(entry["job_id"] for entry in worker.log() if entry["event"] == "job.completed")
    statuses = await rows.statuses()
    assert set(statuses) <= {str(JobStatus.COMPLETED), str(JobStatus.PENDING)}
    assert sorted(await rows.runs()) == done
    assert len(done) == statuses["completed"] >= 1
    async with system.worker("second"):
        await until(lambda: statuses_are(rows, completed=len(jobs)))
    assert await rows.all("SELECT 1 FROM jobs WHERE attempt_errors <> '[]'") == []
