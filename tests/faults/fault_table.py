"""What the fault suite looks at: rows, processes and scratch."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from tests.fixtures.worker_process import System
from worker.client import Client

PYTHON_FILE = b'"""One file."""\n\n\ndef f(x):\n    return x + 1\n'


def slow_source(functions: int = 4000) -> bytes:
    """A Python file that keeps the collectors busy for seconds."""
    body = "\n".join(f"    if a > {n}:\n        b += a * {n}" for n in range(4))
    return "\n\n".join(f"def f{n}(a, b):\n{body}\n    return b" for n in range(functions)).encode()


async def submit_for_many(client: Client, count: int, source: bytes, *, first: int = 0) -> list[str]:
    """Submit one-file jobs for as many users as the limits ask for, from the user of that number on."""
    jobs = []
    for number in range(count):
        user = await client.get_or_create_user(f"user{first + number // 5}@example.org")
        jobs.append((await client.submit_upload(user, filename="a.py", content=source)).job_id)
    return jobs


class Rows:
    """The database as a bystander sees it."""

    def __init__(self, system: System) -> None:
        self._url = system.environment["DATABASE_URL"]

    async def all(self, query: str, *values: Any) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [dict(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    async def job(self, job_id: str) -> dict[str, Any]:
        (row,) = await self.all("SELECT * FROM jobs WHERE job_id = $1", job_id)
        return row

    async def statuses(self) -> dict[str, int]:
        rows = await self.all("SELECT status, count(*) AS jobs FROM jobs GROUP BY status")
        return {row["status"]: row["jobs"] for row in rows}

    async def runs(self) -> list[str]:
        return [row["job_id"] for row in await self.all("SELECT job_id FROM analysis_runs")]


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The condition's value once it is true; it may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.05)


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def job_processes(pid: int) -> list[psutil.Process]:
    """Bodies, lanes and tools: the worker's descendants without the zygote, its one child, and its guardians."""
    everyone = descendants(pid)
    zygotes = {process.pid for process in everyone if process.ppid() == pid}
    return [process for process in everyone if process.ppid() not in {pid, *zygotes}]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def job_scratch(system: System) -> list[Path]:
    return list(Path(system.environment["SCRATCH_DIR"]).glob("*/job-*"))
