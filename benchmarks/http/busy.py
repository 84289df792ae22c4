"""A worker with jobs in all of its slots, and more that wait, for as long as it is measured beside it."""

import asyncio
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from benchmarks.trees import library_files
from domain.jobs import JobStatus
from infrastructure.settings import load_settings
from worker.client import Client

LINES = 3_000
"""Lines of one job's archive."""

WAITING = 40
"""Unfinished jobs that there always are: more than a worker has slots."""

CHECK_SECONDS = 0.5
START_SECONDS = 60.0


def _archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as files:
        for path, name in library_files(LINES):
            files.write(path, name)
    return written.getvalue()


async def _feed(stop: threading.Event, running: threading.Event) -> None:
    """Keep WAITING jobs unfinished. Each archive has a file of its own, so that none is in the cache as a whole."""
    numbers, archive = count(), _archive()
    async with Client.open(load_settings()) as client:
        user_id = await client.get_or_create_user("busy@example.org")
        while not stop.is_set():
            jobs = await client.list_jobs(user_id, limit=4 * WAITING)
            if any(job.status is JobStatus.RUNNING for job in jobs):
                running.set()
            for _ in range(WAITING - sum(not job.status.finished for job in jobs)):
                await client.submit_upload(user_id, filename="code.zip", content=_with_file(archive, next(numbers)))
            await asyncio.sleep(CHECK_SECONDS)


def _with_file(archive: bytes, number: int) -> bytes:
    written = io.BytesIO(archive)
    with zipfile.ZipFile(written, "a") as files:
        files.writestr("number.py", f"NUMBER = {number}\n")
    return written.getvalue()


@contextmanager
def busy_worker() -> Iterator[None]:
    """Run `vibe8 worker` and give it jobs. The block begins when one of them runs."""
    stop, running = threading.Event(), threading.Event()
    feeding = threading.Thread(target=lambda: asyncio.run(_feed(stop, running)))
    process = subprocess.Popen([sys.executable, "-m", "worker", "worker"])
    feeding.start()
    try:
        if not running.wait(START_SECONDS):
            raise SystemExit(f"no job runs after {START_SECONDS:.0f} s")
        yield
    finally:
        stop.set()
        feeding.join()
        for _ in range(2):  # the first signal drains, the second sends running jobs back to the queue
            process.terminate()
        process.wait()
