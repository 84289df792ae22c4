"""The express slot of a real worker: a one-line file does not wait for the archives of others."""

from uuid import UUID

import pytest

from domain.jobs import JobStatus
from tests.fixtures.control.busy_cores import take_all_cores
from tests.fixtures.database import Rows
from tests.fixtures.jobs import archive
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.analysis.core_pool import usable_cores
from worker.client import Client
from worker.process.bootstrap import PREFETCH


@pytest.mark.settings(MAX_CONCURRENT_JOBS_PER_USER="1000")
async def test_one_line_file_completes_while_the_archives_of_another_user_take_all_room(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    rows, room = Rows(system), usable_cores() + PREFETCH
    archives = [await take_all_cores(client, user_id, worker)]
    for number in range(room):
        upload = await client.submit_upload(user_id, filename=f"{number}.zip", content=archive(number))
        archives.append(upload.job_id)

    async def all_room_is_taken() -> bool:
        return await statuses(rows, archives) == [JobStatus.RUNNING] * room + [JobStatus.PENDING]

    await until(all_room_is_taken)
    other = await client.get_or_create_user("bob@example.org")
    for _ in range(2):  # the slot is free again after a job
        small = await client.submit_upload(other, filename="a.py", content=b"x = 1\n")
        ended = await until_finished(client, other, small.job_id)
        assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
        assert await all_room_is_taken()
    assert {row["attempt"] for row in await rows.all("SELECT attempt FROM jobs WHERE status = 'running'")} == {1}


async def statuses(rows: Rows, job_ids: list[str]) -> list[str]:
    return [(await rows.job(job_id))["status"] for job_id in job_ids]
