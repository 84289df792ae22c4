"""Scratch space: a directory for each worker, locked while it lives, and in it a directory for each job.

The lock and not a process id says whether a worker lives: it holds across containers that share a volume, and goes
with its holder, whatever ends it.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from domain.errors import InvalidInputError, TransientError

_LOCK = ".lock"
_PREFIX = "worker-"


@contextmanager
def worker_directory(parent: Path) -> Iterator[Path]:
    """A directory of our own under `parent`, gone afterwards; those of dead workers are removed first.

    Raises InvalidInputError where `parent` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise InvalidInputError(f"SCRATCH_DIR {parent} cannot be written ({error.strerror})") from error
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path) -> int:
    """Remove the directories of workers that live no more, and say how many there were."""
    removed = 0
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
                removed += 1
            finally:
                os.close(lock)
    return removed


@asynccontextmanager
async def job_directory(parent: Path) -> AsyncIterator[Path]:
    """A fresh directory for one job, readable by us alone, and gone afterwards.

    Raises TransientError where there is no room for it: another worker, or this one later, may have some.
    """
    try:
        directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="job-", dir=parent))
    except OSError as error:
        raise TransientError(f"the worker's scratch space cannot be written ({error.strerror})") from error
    try:
        yield directory
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True))
