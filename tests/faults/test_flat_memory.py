"""Memory of one worker over fifty uploads of 100,000 lines: `make faults`."""

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
SAMPLE = 10
MB = 1024 * 1024


def library_tree() -> dict[str, bytes]:
    return {name: path.read_bytes() for path, name in library_files(LINES)}


def changed(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    """Return the tree with other contents, so that the cache has none of its files."""
    return {name: content + f"\n# {number}\n".encode() for name, content in files.items()}


def memory_bytes(worker: psutil.Process) -> int:
    """Return the memory in bytes of the worker and its zygote: the processes that stay when a job has ended."""
    return sum(process.memory_full_info().pss for process in (worker, *worker.children()))


async def test_memory_is_flat_over_fifty_large_trees(system: System, client: Client) -> None:
    files = library_tree()
    user_id = await client.get_or_create_user("ann@example.org")
    memory = []
    async with system.worker() as worker:
        process = psutil.Process(worker.process.pid)
        for number in range(JOBS):
            content = make_zip(changed(files, number))
            job = await client.submit_upload(user_id, filename="library.zip", content=content)
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
            await client.take_result(user_id, job.job_id)
            memory.append(memory_bytes(process))
    early, late = statistics.median(memory[SAMPLE : 2 * SAMPLE]), statistics.median(memory[-SAMPLE:])
    assert late < early * 1.05 + 4 * MB, [round(size / MB) for size in memory]
