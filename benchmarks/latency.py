"""Latency of a one-file upload on an idle system, from submission to completion: `make bench-latency`.

It starts PostgreSQL, Valkey and a worker process. Each job is submitted after the one before it has ended, and each has
another file, so that nothing is found in the cache.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from benchmarks.analysis import machine
from domain.jobs import JobStatus
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.embedded.stack_file import HOME_VARIABLE
from infrastructure.settings import load_settings
from worker.client import Client, Completed

VIBE8 = (sys.executable, "-m", "worker")
FILE = Path(__file__).with_name("trees.py")
WARM_UP = 5
START_SECONDS = 60.0

Stages = Mapping[str, float]
"""Stage to milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="vibe8-latency-") as temporary:
        os.environ |= {
            HOME_VARIABLE: temporary,
            "SCRATCH_DIR": f"{temporary}/scratch",
            "DAILY_JOB_LIMIT_PER_USER": str(jobs + WARM_UP),
            "PACKAGE_INDEX_URL": "",
            "LOG_FORMAT": "json",
        }
        with EmbeddedStack(Path(temporary)), _worker(Path(temporary, "worker.log")):
            runs = asyncio.run(_measure(jobs))
    _show(runs[WARM_UP:])


@contextmanager
def _worker(log_file: Path) -> Iterator[None]:
    subprocess.run([*VIBE8, "migrate"], check=True, stdout=subprocess.DEVNULL)
    with log_file.open("wb") as log:
        process = subprocess.Popen([*VIBE8, "worker"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"worker.started" not in log_file.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the worker did not start: {log_file.read_text()[-1000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


async def _measure(jobs: int) -> list[Stages]:
    text = FILE.read_text()
    async with Client.open(load_settings()) as client:
        user = await client.get_or_create_user("bench@localhost")
        return [await _one(client, user, f"{text}\nNUMBER = {number}\n") for number in range(jobs + WARM_UP)]


async def _one(client: Client, user: UUID, text: str) -> Stages:
    """Run one job and return its stages. The worker measures those inside it; the total is measured here."""
    started = time.perf_counter()
    job = await client.submit_upload(user, filename="module.py", content=text.encode())
    submitted = time.perf_counter()
    async for seen in client.watch(user, job.job_id):
        job = seen
    ended = time.perf_counter()
    taken = await client.take_result(user, job.job_id)
    if job.status is not JobStatus.COMPLETED or not isinstance(taken, Completed):
        raise SystemExit(f"a job did not complete: {job.error_message}")
    assert job.started_at is not None  # nosec B101 # noqa: S101 - it has run
    assert job.finished_at is not None  # nosec B101 # noqa: S101
    inside = taken.run.timings_ms
    stages = {name: float(inside[name]) for name in ("fetching", "collecting", "summarizing")}
    running = (job.finished_at - job.started_at).total_seconds() * 1000
    total = (ended - started) * 1000
    waiting = (job.started_at - job.created_at).total_seconds() * 1000
    submitting = (submitted - started) * 1000
    return {
        "total": total,
        "submitting": submitting,
        "waiting for a claim": waiting,
        **stages,
        "other time in the worker": running - sum(stages.values()),
        "completion event": max(0.0, total - submitting - waiting - running),
    }


def _show(runs: Sequence[Stages]) -> None:
    print(f"{machine()}, {len(runs)} jobs\n{'milliseconds':<24}{'p50':>8}{'p99':>8}")
    for stage in runs[0]:
        values = sorted(run[stage] for run in runs)
        print(f"{stage:<24}{statistics.median(values):8.0f}{values[int(len(values) * 0.99)]:8.0f}")


if __name__ == "__main__":
    main()
