"""Commands for operators, on a fleet of one worker."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.jobs import JobStatus
from tests.fixtures.control.changed_worker import held_worker, release_jobs
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client

ROOM = 8


async def test_drain_of_a_busy_worker_ends_its_jobs_and_takes_no_other(system: System, client: Client) -> None:
    """Its room is full and more jobs are due: those that run end, and the next worker takes the others."""
    rows = Rows(system)

    async def statuses_are(**expected: int) -> bool:
        return await rows.statuses() == expected

    async with held_worker(system, "busy", ARQ_MAX_JOBS=str(ROOM)) as busy:
        jobs = await submit_for_many(client, 5 * ROOM, PYTHON_FILE)
        await until(lambda: statuses_are(running=ROOM, pending=4 * ROOM))
        (draining,) = (await system.run("drain", "--json")).document["draining"]
        await busy.until("worker.draining")

        async def is_shown_draining() -> bool:
            (shown,) = (await system.run("workers", "--json")).document
            assert shown["replica_id"] == draining
            return "drain" in shown["state"] and len(shown["jobs"]) == ROOM

        await until(is_shown_draining)
        release_jobs(system)
        assert await asyncio.to_thread(busy.process.wait, 60) == 0
    assert await rows.statuses() == {"completed": ROOM, "pending": 4 * ROOM}
    assert (
        await rows.all("SELECT 1 FROM jobs WHERE status = 'pending' AND (attempt, attempt_errors) <> (0, '[]')") == []
    )
    async with system.worker("next"):
        await until(lambda: statuses_are(completed=len(jobs)))
    assert sorted(await rows.runs()) == sorted(jobs)


async def one_pending_is_counted(system: System) -> bool:
    document = (await system.run("top", "--json")).document
    assert document["counted_seconds_ago"] < 60
    return bool(document["queue"]["pending"]["jobs"] == 1)


async def test_workers_top_pause_resume_retry_and_drain(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    async def reported() -> bool:
        return len((await system.run("workers", "--json")).document) == 1

    await until(reported)
    (replica,) = (await system.run("workers", "--json")).document
    assert replica["pid"] == worker.process.pid
    for listed in (replica, (await system.run("top", "--json")).document["workers"][0]):
        started, seen = (datetime.fromisoformat(listed[name]) for name in ("started_at", "seen_at"))
        assert datetime.now(UTC) - timedelta(minutes=5) < started <= seen
    shown = await system.run("workers")
    assert replica["replica_id"] in shown.out
    assert "ready" in shown.out

    assert (await system.run("pause")).out.startswith("the fleet is paused")
    assert (await system.run("pause")).out.startswith("the fleet was already paused")
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    top = await system.run("top", "--json")
    assert top.document["paused"] is True
    await until(lambda: one_pending_is_counted(system))
    assert "the fleet is paused" in (await system.run("top")).out
    assert (await client.get_job(user_id, job.job_id)).status is JobStatus.PENDING
    assert (await system.run("resume", "--json")).document == {"paused": False, "changed": True}
    other = await client.submit_upload(user_id, filename="b.py", content=PYTHON_FILE)
    assert (await until_finished(client, user_id, other.job_id)).status is JobStatus.COMPLETED

    assert (await system.run("job", job.job_id)).code == 2
    assert (await system.run("job", job.job_id, "--operator", "--json")).document["job_id"] == job.job_id
    failing = await client.submit_upload(user_id, filename="c.zip", content=b"no zip")
    await until_finished(client, user_id, failing.job_id)
    assert (await system.run("retry", failing.job_id)).code == 2
    assert (await system.run("retry", failing.job_id, "--operator")).code == 0
    await until_finished(client, user_id, failing.job_id)

    unknown = await system.run("drain", "nobody")
    assert (unknown.code, unknown.error) == (2, "vibe8: there is no worker nobody; see `vibe8 workers`\n")
    assert (await system.run("drain", "--json")).document == {"draining": [replica["replica_id"]]}
    assert await asyncio.to_thread(worker.process.wait, 60) == 0
    (entry,) = (await system.run("audit", "--action", "drain", "--json")).document
    assert entry["details"] == {"workers": [replica["replica_id"]], "by": "operator"}
    assert (await system.run("workers")).out == "no worker has reported within the last minute\n"
