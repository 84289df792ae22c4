"""Scratch space: a directory for each worker, locked while it lives, and in it a directory for each job.

The lock and not a process id says whether a worker lives: it holds across containers that share a volume, and goes
with its holder, whatever ends it.
"""

import asyncio
import fcntl
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from domain.errors import InvalidInputError, TransientError

_LOCK = ".lock"
_PREFIX = "worker-"


@contextmanager
def worker_workspace(parent: Path) -> Iterator[Path]:
    """A directory of our own under `parent`, gone afterwards; those of dead workers are removed first.

    Raises InvalidInputError where `parent` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        directory.chmod(0o711)  # a child that has a user of its own must get through to its own directory
    except OSError as error:
        raise InvalidInputError(f"SCRATCH_DIR {parent} cannot be written ({error.strerror})") from error
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        remove_tree(directory)
        os.close(lock)


def sweep(parent: Path) -> int:
    """Remove the directories of workers that live no more, and say how many there were."""
    removed = 0
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(directory)
                removed += 1
            finally:
                os.close(lock)
    return removed


def remove_tree(directory: Path) -> None:
    """Remove it with all that is in it, as far as the system lets us, whatever its maker did to keep it.

    Directories inside are moved up before they are emptied: nested deeper than any path or stack can be, they are
    still removed; and what was closed to its own user is opened.
    """
    token, pending = secrets.token_hex(8), [directory]
    for number, place in enumerate(pending):
        with suppress(OSError):
            for entry in _opened(place):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        Path(entry).chmod(0o700)  # or it may not be moved
                        pending.append(Path(entry).rename(directory / f"{token}-{number}-{len(pending)}"))
                    else:
                        os.unlink(entry)  # noqa: PTH108 - there may be very many
            if place != directory:
                place.rmdir()
    with suppress(OSError):
        directory.rmdir()


def _opened(directory: Path) -> list["os.DirEntry[str]"]:
    directory.chmod(0o700)
    with os.scandir(directory) as entries:
        return list(entries)


@asynccontextmanager
async def job_workspace(parent: Path) -> AsyncIterator[Path]:
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
        await asyncio.shield(asyncio.to_thread(remove_tree, directory))
