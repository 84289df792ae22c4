"""Latency of one-file uploads of strangers while large archives of three users wait."""

import asyncio
import io
import statistics
import subprocess
import time
import zipfile
from collections.abc import Mapping, Sequence

from benchmarks.queue.bench import SOURCE, WORKER, Bench, show
from benchmarks.trees import library_files
from domain.jobs import JobStatus
from worker.client import Client, UploadSubmission

ARCHIVES = 12
OWNERS = 3
ARCHIVE = "large.zip"
LINES = 100_000
PAUSE_SECONDS = 0.1
SLOWEST = 0.05
"""Share of the strangers' jobs whose stages are printed."""

_STAGES = """
    SELECT avg(extract(epoch FROM started_at - created_at)::float8) * 1000 AS waited,
        avg(extract(epoch FROM finished_at - started_at)::float8) * 1000 AS ran
    FROM jobs WHERE job_id = ANY($1)
"""


def archive(files: Mapping[str, bytes], number: int) -> bytes:
    """Return a zip archive of these files. No two numbers give equal ones, so that no facts are cached."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content + b"\n# %d\n" % number)
    return buffer.getvalue()


async def measure_stranger(bench: Bench, client: Client, lines: int) -> None:
    """Print p50 and p99 of the strangers' latencies until the archives are done, one stranger after the other."""
    files = {name: path.read_bytes() for path, name in library_files(lines)}
    archives = [archive(files, number) for number in range(ARCHIVES)]
    await bench.value("TRUNCATE jobs, job_uploads, analysis_runs, insights CASCADE")
    latencies: dict[str, float] = {}
    with bench.processes(WORKER, 1) as running:
        await _warm_up(client)
        await _submit_archives(client, archives)
        started = time.perf_counter()
        while await _archives_left(bench, running):
            job_id, milliseconds = await _latency(client, f"stranger-{len(latencies)}@example.org")
            latencies[job_id] = milliseconds
        took = time.perf_counter() - started
    if failed := await bench.count("status = 'failed'"):
        reason = await bench.value("SELECT min(error_message) FROM jobs")
        raise SystemExit(f"{failed} jobs failed: {reason}")
    print(f"{ARCHIVES} archives of {lines:,} lines of {OWNERS} users took {took:.1f} s with one worker", flush=True)
    ranks = statistics.quantiles(latencies.values(), n=100, method="inclusive")
    show(f"one-file upload of a stranger meanwhile, N = {len(latencies)}: p50", ranks[49], "ms")
    show("  p99 (goal: 1000 or less)", ranks[98], "ms")
    show("  the slowest", max(latencies.values()), "ms")
    await _show_slowest(bench, latencies)


async def _warm_up(client: Client) -> None:
    """Wait until the worker has run a job."""
    await _latency(client, "warm-up@example.org")


async def _submit_archives(client: Client, archives: Sequence[bytes]) -> None:
    for number, content in enumerate(archives):
        owner = await client.get_or_create_user(f"owner-{number % OWNERS}@example.org")
        await client.submit_many(owner, [UploadSubmission(filename=ARCHIVE, content=content)])


async def _archives_left(bench: Bench, running: Sequence[subprocess.Popen[bytes]]) -> int:
    if any(process.poll() is not None for process in running):
        raise SystemExit("the worker has ended early")
    return await bench.count(f"source_metadata->>'upload_filename' = '{ARCHIVE}' AND finished_at IS NULL")


async def _latency(client: Client, email: str) -> tuple[str, float]:
    """Return the job of a new user, and the milliseconds from its submission to its end as its user sees them."""
    user_id = await client.get_or_create_user(email)
    content = SOURCE.read_bytes() + b"# %s\n" % email.encode()
    started = time.perf_counter()
    job = await client.submit_upload(user_id, filename="a.py", content=content)
    async for seen in client.watch(user_id, job.job_id):
        job = seen
    took = (time.perf_counter() - started) * 1000
    if job.status is not JobStatus.COMPLETED:
        raise SystemExit(f"a stranger's job is {job.status}: {job.error_message}")
    await asyncio.sleep(PAUSE_SECONDS)
    return job.job_id, took


async def _show_slowest(bench: Bench, latencies: Mapping[str, float]) -> None:
    """Print where the slowest jobs spent their time, on average."""
    count = max(1, round(len(latencies) * SLOWEST))
    slowest = sorted(latencies, key=latencies.__getitem__)[-count:]
    waited, ran = await bench.row(_STAGES, slowest)
    noticed = statistics.fmean(latencies[job_id] for job_id in slowest) - waited - ran
    print(
        f"  the slowest {count} on average: {waited:.0f} ms until claimed, {ran:.0f} running, {noticed:.0f} around it"
    )
