"""Small uploads of one user share children of a real worker, each with its own result, error and attempt."""

import json
from uuid import UUID

import httpx
import pytest

from domain.jobs import Job, JobStatus
from tests.fixtures.database import Rows
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client, UploadSubmission

pytestmark = pytest.mark.settings(MAX_CONCURRENT_JOBS_PER_USER="1000", STATUS_PORT="0")
SHARED = 'vibe8_child_cpu_seconds_total{entry="fetch_each+collect_each"}'
BROKEN = 5


def uploads(count: int, lines: int = 1) -> list[UploadSubmission]:
    """Return so many uploads; number BROKEN has a name that is refused."""
    return [
        UploadSubmission(
            filename="a/b.py" if number == BROKEN else f"f{number}.py",
            content=b"import os\n" + b"".join(b"x%d = %d\n" % (line, number) for line in range(lines)),
        )
        for number in range(count)
    ]


async def submit(client: Client, user_id: UUID, new: list[UploadSubmission]) -> list[str]:
    return [job.job_id for job in await client.submit_many(user_id, new)]


async def all_finished(client: Client, user_id: UUID, job_ids: list[str]) -> list[Job]:
    return [await until_finished(client, user_id, job_id) for job_id in job_ids]


async def seconds_in_shared_children(worker: WorkerProcess) -> float:
    (started,) = await worker.until("worker.starting")
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{started['status_port']}/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(SHARED))


async def test_uploads_of_a_batch_share_children_and_end_each_on_its_own(
    system: System, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    job_ids = await submit(client, user_id, uploads(20))
    others = await submit(client, other, uploads(2))
    async with system.worker() as worker:
        jobs = await all_finished(client, user_id, job_ids)
        assert {job.status for job in await all_finished(client, other, others)} == {JobStatus.COMPLETED}
        assert await seconds_in_shared_children(worker) > 0
    bad = jobs.pop(BROKEN)
    assert (bad.status, bad.attempt, bad.error_message) == (JobStatus.FAILED, 1, "'a/b.py' is not a plain file name")
    assert {(job.status, job.attempt, job.attempt_errors) for job in jobs} == {(JobStatus.COMPLETED, 1, ())}
    rows = await Rows(system).all("SELECT job_id, metrics, file_tree, timings_ms FROM analysis_runs")
    assert len(rows) == 21
    names = {row["job_id"]: json.loads(row["file_tree"])["children"][0]["name"] for row in rows}
    assert [names[job.job_id] for job in jobs] == [f"f{number}.py" for number in range(20) if number != BROKEN]
    assert len({json.dumps(json.loads(row["metrics"])["lint"]) for row in rows}) == 1
    assert all(json.loads(row["metrics"])["lint"]["total"] for row in rows)
    assert all(json.loads(row["timings_ms"])["fetching"] >= 0 for row in rows)


async def test_without_sharing_each_upload_has_a_child_of_its_own(
    system: System, client: Client, user_id: UUID
) -> None:
    job_ids = await submit(client, user_id, uploads(BROKEN))
    async with system.worker(SHARE_CHILD_JOBS="1") as worker:
        jobs = await all_finished(client, user_id, job_ids)
        assert await seconds_in_shared_children(worker) == 0
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}


async def test_cancelled_upload_leaves_the_others_of_its_child_their_results(
    system: System, client: Client, user_id: UUID
) -> None:
    job_ids = await submit(client, user_id, uploads(BROKEN, lines=400) * 4)
    async with system.worker():
        await client.cancel_job(user_id, job_ids[10])
        jobs = await all_finished(client, user_id, job_ids)
    kept = [job for job in jobs if job.job_id != job_ids[10]]
    assert {(job.status, job.attempt) for job in kept} == {(JobStatus.COMPLETED, 1)}
