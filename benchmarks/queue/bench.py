"""Workers of this program on one PostgreSQL and one Redis, and what the database says about their jobs."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from worker.client import Client, UploadSubmission

SOURCE = Path(__file__).parents[1] / "one_file_source.py"
BATCH = 500
USERS = 20
POLL_SECONDS = 0.5
"""Each query opens a connection, which takes time of the same processors."""

WORKER = (sys.executable, "-m", "worker", "worker")
NOOP = (sys.executable, "-m", "benchmarks.queue_workers", "noop")


class Bench:
    """Submits jobs, runs workers, and reads what they did."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` names both servers, and goes to the workers."""
        self.environment = dict(environment)

    async def submit(self, client: Client, count: int, content: bytes) -> None:
        """Submit `count` uploads of USERS users, in batches. No two are equal, so that the cache has none of them."""
        for first in range(0, count, BATCH):
            user_id = await self.user(client, first // BATCH % USERS)
            numbers = range(first, min(first + BATCH, count))
            contents = [content + b"# %d\n" % number for number in numbers]
            await client.submit_many(user_id, [UploadSubmission(filename="a.py", content=each) for each in contents])

    async def user(self, client: Client, number: int) -> UUID:
        """Return the id of the benchmark's user of that number."""
        return await client.get_or_create_user(f"{number}@example.org")

    async def jobs_a_second(
        self, client: Client, command: Sequence[str], replicas: int, count: int
    ) -> tuple[float, dict[str, float]]:
        """Return the jobs per second of so many workers, and one worker's CPU seconds a job by process.

        By the database's clock, from the first claim to the last end. The CPU seconds are empty for several workers.
        """
        await self.refill(client, count)
        with self.processes(command, replicas) as running:
            await self.wait(running, lambda: self.count("status <> 'pending'"), at_least=1)
            started = self._cpu_seconds(replicas)
            await self.wait(running, lambda: self.count("status IN ('completed', 'failed')"), at_least=count)
            ended = self._cpu_seconds(replicas)
        if failed := await self.count("status = 'failed'"):
            raise SystemExit(f"{failed} of {count} jobs failed")
        rate = await self.value(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM jobs"
        )
        return float(rate), {name: (seconds - started[name]) / count for name, seconds in ended.items()}

    async def refill(self, client: Client, count: int) -> None:
        """Replace all jobs and results by `count` pending one-file uploads."""
        await self.value("TRUNCATE jobs, job_uploads, analysis_runs, insights CASCADE")
        await self.submit(client, count, SOURCE.read_bytes())

    async def wait(
        self, running: Sequence[subprocess.Popen[bytes]], done: Callable[[], Awaitable[int]], *, at_least: int
    ) -> None:
        """Wait until `done()` returns at least so many. Exits if a worker ends before."""
        while await done() < at_least:
            if any(process.poll() is not None for process in running):
                raise SystemExit("a worker has ended early")
            await asyncio.sleep(POLL_SECONDS)

    @contextmanager
    def processes(self, command: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run so many workers, and stop them at the end. A single one has the status server."""
        ports = [self.environment["STATUS_PORT"] if count == 1 else ""] * count
        running = [subprocess.Popen(command, env={**self.environment, "STATUS_PORT": port}) for port in ports]
        try:
            yield running
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait()

    async def count(self, condition: str) -> int:
        """Return the number of jobs that meet the SQL condition."""
        return int(await self.value(f"SELECT count(*) FROM jobs WHERE {condition}"))  # nosec B608 # noqa: S608 - ours

    async def value(self, query: str, *arguments: Any) -> Any:
        """Run one statement on a connection of its own, and return the first column of its first row."""
        row = await self.row(query, *arguments)
        return None if row is None else row[0]

    async def row(self, query: str, *arguments: Any) -> Any:
        """As `value`, and return the first row."""
        connection = await asyncpg.connect(self.environment["DATABASE_URL"])
        try:
            return await connection.fetchrow(query, *arguments)
        finally:
            await connection.close()

    def _cpu_seconds(self, replicas: int) -> dict[str, float]:
        return cpu_seconds(self.environment["STATUS_PORT"]) if replicas == 1 else {}


def cpu_seconds(port: str) -> dict[str, float]:
    """Return the CPU seconds of the one worker and of its children, from its metrics."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    wanted = {"vibe8_child_cpu_seconds_total": "its children", "process_cpu_seconds_total": "the worker itself"}
    seconds = dict.fromkeys(wanted.values(), 0.0)
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        if name in wanted:
            seconds[wanted[name]] += float(value)
    return seconds


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show(name: str, value: float, unit: str = "") -> None:
    """Print a figure with the load average of the last minute."""
    print(f"{name:<62}{value:>10.1f} {unit:<3} (load {os.getloadavg()[0]:.1f})", flush=True)
