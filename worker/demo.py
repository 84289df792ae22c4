"""`make demo`: the main job, end to end, on servers of its own.

Starts PostgreSQL and Valkey, migrates, starts a real worker process, submits the working directory with its git
history through the queue, shows progress and the result, and ends everything that it started.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from domain.errors import ServiceUnavailableError, Vibe8Error
from infrastructure.embedded import EmbeddedStack
from infrastructure.stack_file import HOME_VARIABLE

UPLOAD_MB = 200
START_SECONDS = 60
VIBE8 = (sys.executable, "-m", "worker")


def main() -> None:
    """Exit code 0 when the job completed; else that of what failed."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _temporary_directory() as directory, EmbeddedStack(directory, durable=False):
            code = _demonstrate(directory)
    except Vibe8Error as error:
        print(f"vibe8: {error}", file=sys.stderr)
        code = 3 if isinstance(error, ServiceUnavailableError) else 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _demonstrate(directory: Path) -> int:
    environment = {
        **os.environ,
        HOME_VARIABLE: str(directory),
        "SCRATCH_DIR": str(directory / "scratch"),
        "MAX_UPLOAD_MB": str(UPLOAD_MB),
        "LOG_FORMAT": "json",
    }
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST"):
        environment.pop(name, None)
    print("PostgreSQL and Valkey are up", flush=True)
    subprocess.run([*VIBE8, "migrate"], env=environment, check=True)
    with _worker(environment, directory / "worker.log"):
        print("a worker is up; submitting this repository", flush=True)
        return subprocess.run([*VIBE8, "submit", ".", "--wait"], env=environment, check=False).returncode


@contextmanager
def _worker(environment: dict[str, str], log_file: Path) -> Iterator[None]:
    """A worker process that has started; drained at the end."""
    with log_file.open("wb") as log:
        process = subprocess.Popen([*VIBE8, "worker"], env=environment, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + START_SECONDS
        while b"worker.started" not in log_file.read_bytes():
            if process.poll() is not None or time.monotonic() > give_up:
                raise ServiceUnavailableError(f"the worker did not start: {log_file.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="vibe8-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
