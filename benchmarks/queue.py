"""Throughput of the queue: `make bench-queue`. Measured by the database's clock, from the first claim to the last end.

Everything runs on this machine: PostgreSQL (durable, as in production), Redis, the submitter and the workers. More
replicas therefore share the same processors. Compare the numbers of one run with each other, and consider the load
average that is printed beside them.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from arq.connections import RedisSettings, create_pool

from benchmarks.procrastinate_app import procrastinate_app
from benchmarks.queue_workers import ARQ_QUEUE, SLOTS
from infrastructure.database.migrate import upgrade
from infrastructure.database.urls import asyncpg_url
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.settings import Settings, load_settings
from worker.client import Client, UploadSubmission

SOURCE = Path(__file__).with_name("one_file_source.py")
BATCH = 500
USERS = 20
REPLICAS = (1, 2, 4)
WORKER = [sys.executable, "-m", "worker", "worker"]
NOOP = [sys.executable, "-m", "benchmarks.queue_workers", "noop"]


class Bench:
    """Measurements on one PostgreSQL and one Redis."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self.figures: dict[str, float] = {}

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

    async def submissions(self, client: Client, count: int) -> None:
        """Measure submissions per second: one after the other, of twenty users at once, and in batches."""
        one = UploadSubmission(filename="a.py", content=SOURCE.read_bytes())
        users = [await self.user(client, number) for number in range(USERS)]
        started = time.perf_counter()
        for number in range(count):
            await client.submit_many(users[number % USERS], [one])
        self.figures["submissions/s, one after the other"] = count / (time.perf_counter() - started)

        async def submit_share(user_id: UUID) -> None:
            for _ in range(count // USERS):
                await client.submit_many(user_id, [one])

        started = time.perf_counter()
        await asyncio.gather(*(submit_share(user_id) for user_id in users))
        self.figures["submissions/s, twenty users at once"] = count / (time.perf_counter() - started)
        started = time.perf_counter()
        await self.submit(client, 10 * BATCH, one.content)
        self.figures[f"submissions/s, {BATCH} in a batch"] = 10 * BATCH / (time.perf_counter() - started)

    async def vibe8(self, client: Client, command: Sequence[str], replicas: int, count: int) -> float:
        """Return the jobs per second of so many workers, started with `command`."""
        await self._execute("TRUNCATE jobs, job_uploads, analysis_runs")
        await self.submit(client, count, SOURCE.read_bytes())
        port = self._environment["STATUS_PORT"]
        with self._processes(command, replicas) as running:
            while await self._count("status = 'pending'") == count:
                await self._wait(running)
            started = cpu_seconds(port) if replicas == 1 else {}
            while await self._count("status IN ('pending', 'running')"):
                await self._wait(running)
            for name, seconds in cpu_seconds(port).items() if replicas == 1 else ():
                show(f"  CPU ms a job: {name}", (seconds - started[name]) * 1000 / count)
        if failed := await self._count("status = 'failed'"):
            raise RuntimeError(f"{failed} of {count} jobs failed")
        return await self._rate("SELECT count(*), min(started_at), max(finished_at) FROM jobs")

    async def arq(self, replicas: int, count: int) -> float:
        """Return the jobs per second of ARQ alone."""
        redis = await create_pool(RedisSettings.from_dsn(self._environment["REDIS_URL"]))
        for _ in range(count):
            await redis.enqueue_job("nothing", _queue_name=ARQ_QUEUE)
        await redis.aclose()
        command = [sys.executable, "-m", "benchmarks.queue_workers", "arq", str(count // replicas)]
        outputs = await asyncio.gather(*(asyncio.to_thread(self._output, command) for _ in range(replicas)))
        moments: list[list[float]] = [json.loads(output) for output in outputs]
        return count / (max(last for _, last in moments) - min(first for first, _ in moments))

    async def procrastinate(self, replicas: int, count: int) -> float:
        """Return the jobs per second of Procrastinate, on the same PostgreSQL."""
        app = procrastinate_app()
        async with app.open_async():
            if not await self._value("SELECT to_regclass('procrastinate_jobs')"):
                await app.schema_manager.apply_schema_async()
            await self._execute("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
            await app.tasks["nothing"].batch_defer_async(*[{}] * count)
        command = [sys.executable, "-m", "benchmarks.queue_workers", "procrastinate"]
        await asyncio.gather(*(asyncio.to_thread(self._output, command) for _ in range(replicas)))
        return await self._rate(
            "SELECT count(*) FILTER (WHERE type = 'succeeded'), min(at) FILTER (WHERE type = 'started'), max(at) "
            "FROM procrastinate_events WHERE type IN ('started', 'succeeded')"
        )

    async def _wait(self, running: Sequence[subprocess.Popen[bytes]]) -> None:
        if any(process.poll() is not None for process in running):
            raise RuntimeError("a worker has ended early")
        await asyncio.sleep(0.5)  # each query opens a connection, which takes time of the same processors

    def _output(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    @contextmanager
    def _processes(self, command: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        ports = [self._environment["STATUS_PORT"] if count == 1 else ""] * count
        running = [subprocess.Popen(command, env={**self._environment, "STATUS_PORT": port}) for port in ports]
        try:
            yield running
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait()

    async def _count(self, condition: str) -> int:
        return int(await self._value(f"SELECT count(*) FROM jobs WHERE {condition}"))  # nosec B608 # noqa: S608 - ours

    async def _rate(self, query: str) -> float:
        connection = await asyncpg.connect(self._environment["DATABASE_URL"])
        count, first, last = await connection.fetchrow(query)
        await connection.close()
        return float(count / (last - first).total_seconds())

    async def _value(self, query: str) -> Any:
        connection = await asyncpg.connect(self._environment["DATABASE_URL"])
        value = await connection.fetchval(query)
        await connection.close()
        return value

    async def _execute(self, statement: str) -> None:
        await self._value(statement)


async def run(bench: Bench, settings: Settings, scale: float, replicas: Sequence[int]) -> None:
    """Run all measurements, and print each when it is done."""
    await upgrade(asyncpg_url(settings.database_url.get_secret_value() if settings.database_url else ""))
    async with Client.open(settings) as client:
        await bench.submissions(client, round(1000 * scale))
        for name, value in bench.figures.items():
            show(name, value)
        for count in replicas:
            uploads = await bench.vibe8(client, WORKER, count, round(1000 * scale))
            show(f"one-file uploads/s, ten metrics, {count} replicas", uploads)
        for count in replicas:
            noop = await bench.vibe8(client, NOOP, count, round(1500 * scale))
            arq = await bench.arq(count, round(4000 * scale) // count * count)
            other = await bench.procrastinate(count, round(1500 * scale))
            show(f"no-op jobs/s, {count} replicas", noop)
            show(f"  the same, ARQ alone ({arq / noop:.1f} times as many)", arq)
            show(f"  the same, Procrastinate ({other / noop:.2f} times as many)", other)


def cpu_seconds(port: str) -> dict[str, float]:
    """Return the CPU seconds of the one worker and of its children, from its metrics."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    wanted = {
        'vibe8_child_cpu_seconds_total{entry="fetch+collect"}': "its children",
        "process_cpu_seconds_total": "the worker itself",
    }
    lines = (line.rpartition(" ") for line in text.splitlines())
    return {wanted[name]: float(value) for name, _, value in lines if name in wanted}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show(name: str, value: float) -> None:
    load = os.getloadavg()[0]
    print(f"{name:<55}{value:>10.1f}   (load {load:.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="number of jobs, as a factor of the usual number")
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} processors, Python {platform.python_version()}, {SLOTS} slots a replica", flush=True)
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedStack(Path(directory) / "home") as stack:
            os.environ.update(
                DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url, SCRATCH_DIR=f"{directory}/scratch",
                PACKAGE_INDEX_URL="", LOG_LEVEL="error", ARQ_MAX_JOBS=str(SLOTS),
                RECYCLE_AFTER_JOBS="0", STATUS_PORT=str(free_port()),
                MAX_CONCURRENT_JOBS_PER_USER="1000000", DAILY_JOB_LIMIT_PER_USER="1000000",
            )  # fmt: skip
            bench = Bench({})
            asyncio.run(run(bench, load_settings(), arguments.scale, arguments.replicas))


if __name__ == "__main__":
    main()
