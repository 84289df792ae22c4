"""A real `vibe8 worker` process on the test's own servers, and a client beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet

from domain.jobs import Job
from infrastructure.settings import Settings
from worker.client import Client

PATIENCE_SECONDS = 120
COMMAND = [sys.executable, "-c", "from worker.cli import main; main()"]
"""What the installed `vibe8` script does."""


@dataclass
class WorkerProcess:
    """The process and its log, a JSON object a line."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The log's entries of that event, once there are enough."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = [entry for entry in self.log() if entry["event"] == event]
                if len(found) >= count:
                    return found
                assert self.process.poll() is None, self.log_file.read_text()
                await asyncio.sleep(0.02)

    async def stop(self, sign: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)


@dataclass(frozen=True)
class System:
    """The settings of one test's system, as an environment; every process of the test gets the same."""

    environment: Mapping[str, str]
    directory: Path

    @property
    def settings(self) -> Settings:
        values = {name.lower(): value for name, value in self.environment.items()}
        return Settings(**values)  # type: ignore[arg-type]

    def process_environment(self, **more: str) -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **self.environment, **more}

    async def run(self, *arguments: str, **environment: str) -> "Finished":
        """Run `vibe8 ARGUMENTS` to its end."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env=self.process_environment(**environment),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, error = await process.communicate()
        assert process.returncode is not None
        return Finished(code=process.returncode, out=out.decode(), error=error.decode())

    @asynccontextmanager
    async def worker(self, name: str = "worker", **environment: str) -> AsyncIterator[WorkerProcess]:
        """A worker that has started; killed at the end if it still runs."""
        log_file = self.directory / f"{name}.log"
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "worker"], env=self.process_environment(**environment), stdout=log, stderr=log
            )
        worker = WorkerProcess(process=process, log_file=log_file)
        try:
            await worker.until("worker.started")
            yield worker
        finally:
            if process.poll() is None:
                process.kill()
                await asyncio.to_thread(process.wait)


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    error: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def new_system(database_url: str, redis_url: str, directory: Path, **more: str) -> System:
    """Settings for a test: its own servers, scratch and key; no package index; polls quickly."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SCRATCH_DIR": str(directory / "scratch"),
        "VIBE8_HOME": str(directory / "home"),
        "PACKAGE_INDEX_URL": "",
        "ARQ_POLL_DELAY": "0.02",
        "LOG_FORMAT": "json",
        "TOKEN_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        **more,
    }
    return System(environment=environment, directory=directory)


async def until_finished(client: Client, user_id: UUID, job_id: str) -> Job:
    """The job, once it has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (job := await client.get_job(user_id, job_id)).status.finished:
            await asyncio.sleep(0.02)
    return job
