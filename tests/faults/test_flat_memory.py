"""A hundred thousand lines, fifty times, in one worker: `make faults`."""

import statistics

import psutil
import pytest

from benchmarks.trees import library_files
from domain.jobs import JobStatus
from tests.fixtures.archives import make_zip
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client

pytestmark = pytest.mark.slow

LINES = 100_000
JOBS = 50
SOME = 10
MB = 1024 * 1024


def library() -> dict[str, bytes]:
    return {name: path.read_bytes() for path, name in library_files(LINES)}


def changed(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    """The same tree, of which nothing is known from the job before."""
    return {name: content + f"\n# {number}\n".encode() for name, content in files.items()}


def held(worker: psutil.Process) -> int:
    """Bytes of the worker and of the zygote: what stays when a job's own processes have ended."""
    return sum(process.memory_full_info().pss for process in (worker, *worker.children()))


async def test_memory_is_flat_over_fifty_large_trees(system: System, client: Client) -> None:
    files = library()
    user_id = await client.get_or_create_user("ann@example.org")
    memory = []
    async with system.worker() as worker:
        process = psutil.Process(worker.process.pid)
        for number in range(JOBS):
            content = make_zip(changed(files, number))
            job = await client.submit_upload(user_id, filename="library.zip", content=content)
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
            await client.take_result(user_id, job.job_id)
            memory.append(held(process))
    early, late = statistics.median(memory[SOME : 2 * SOME]), statistics.median(memory[-SOME:])
    assert late < early * 1.05 + 4 * MB, [round(size / MB) for size in memory]
