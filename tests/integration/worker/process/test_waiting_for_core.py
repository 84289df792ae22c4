"""A worker whose cores are all busy: what needs no core ends at once, and what waits for one says so."""

import asyncio
import json
from uuid import UUID

import pytest

from domain.jobs import JobStatus
from tests.fixtures.control.busy_cores import take_all_cores, until_stage
from tests.fixtures.database import Rows
from tests.fixtures.jobs import archive
from tests.fixtures.processes import job_scratch
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from tests.hostile.support.poison import insert_job
from worker.client import Client

WAITING = "waiting for a core"
LARGE = {
    "not a zip": {"upload_filename": "a.zip", "file_data": "eHh4" * 40_000},
    "larger than 5 MB": {"upload_filename": "a.py", "file_data": "eHh4" * 2_000_000},
    "not valid base64": {"upload_filename": "a.py", "file_data": "x===" * 40_000},
    "upload a .py or a .zip file": {"upload_filename": "a.txt", "file_data": "eHh4" * 40_000},
}
SMALL = {
    "not a zip": {"upload_filename": "a.zip", "file_data": "eHh4"},
    "not valid base64": {"upload_filename": "a.py", "file_data": "x==="},
    "the upload is empty": {"upload_filename": "a.py", "file_data": ""},
}
"""Words of the error: a source that fails with it. One child would fetch and analyse a small one, with a core."""


@pytest.fixture
async def busy(client: Client, user_id: UUID, worker: WorkerProcess) -> str:
    """The id of a job that has all cores of the worker; it has room for others, but no core."""
    return await take_all_cores(client, user_id, worker)


async def test_source_that_is_refused_as_a_whole_fails_before_it_waits(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess, busy: str
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    sources = [*LARGE.items(), *SMALL.items()]
    for number, (_, source) in enumerate(sources):
        await insert_job(system.environment["DATABASE_URL"], f"job-{number}", other, json.dumps(source))
    for number, (words, _) in enumerate(sources):
        ended = await until_finished(client, other, f"job-{number}")
        assert (ended.status, ended.attempt) == (JobStatus.FAILED, 1)
        assert words in (ended.error_message or "")
    stages = [entry["stages_ms"] for entry in await worker.until("job.failed", len(sources))]
    assert [set(each) for each in stages] == [{"fetching"}] * len(sources)
    assert (await client.get_job(user_id, busy)).status is JobStatus.RUNNING


async def test_job_and_progress_say_that_it_waits_for_a_core_and_it_can_be_cancelled_then(
    system: System, client: Client, user_id: UUID, busy: str
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    waiting = (await client.submit_upload(other, filename="a.zip", content=archive())).job_id
    await until_stage(client, other, waiting, WAITING)  # as an event, long before the row says so

    async def row_says_so() -> bool:
        return bool((await Rows(system).job(waiting))["stage"] == WAITING)

    await until(row_says_so)
    await client.cancel_job(other, waiting)
    async with asyncio.timeout(5):
        ended = await until_finished(client, other, waiting)
        await until(lambda: len(job_scratch(system)) == 1)
    assert (ended.status, ended.error_message) == (JobStatus.FAILED, "cancelled by user")
    assert (await client.get_job(user_id, busy)).status is JobStatus.RUNNING
    # The wait has ended with the job: the core goes to the next.
    after = (await client.submit_upload(other, filename="b.zip", content=archive())).job_id
    await client.cancel_job(user_id, busy)
    assert (await until_finished(client, other, after)).status is JobStatus.COMPLETED
