"""Workspaces: a directory for each worker, locked while the worker lives, with a directory in it for each job.

A lock says whether a worker lives, not a process id: it is valid across containers that share a volume, and the kernel
releases it however the worker ends.
"""

import asyncio
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Self

from domain.errors import InvalidInputError, TransientError

_LOCK = ".lock"
_PREFIX = "worker-"


@contextmanager
def worker_workspace(parent: Path) -> Iterator[Path]:
    """Create this worker's directory in `parent`, and remove it at the end.

    The directories of dead workers are removed first. Raises InvalidInputError where `parent` cannot be written or
    belongs to another user.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _require_own(parent)
        remove_abandoned_workspaces(parent)
        directory, lock = _make_locked_directory(parent)
    except OSError as error:
        raise InvalidInputError(
            f"SCRATCH_DIR {parent} cannot be written ({error.strerror}): set it to a directory of your own"
        ) from error
    try:
        yield directory
    finally:
        remove_tree(directory)
        os.close(lock)


def _make_locked_directory(parent: Path) -> tuple[Path, int]:
    """Make a worker's directory, and return it with the file descriptor that holds its lock."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        directory.chmod(0o711)  # a child that runs as another user must be able to reach its own directory
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return directory, lock
        os.close(lock)  # a worker that started just then took the directory for an abandoned one, and removed it


def _require_own(directory: Path) -> None:
    """Raise InvalidInputError where the directory is another user's in a directory like /tmp.

    Its owner could replace what is written there. A volume that an operator mounts may belong to anyone.
    """
    owner, shared = directory.stat().st_uid, directory.parent.stat().st_mode & stat.S_ISVTX
    if shared and owner not in (os.geteuid(), 0):
        raise InvalidInputError(
            f"SCRATCH_DIR {directory} belongs to another user (number {owner}): set it to a directory of your own"
        )


def remove_abandoned_workspaces(parent: Path) -> int:
    """Remove the directories of dead workers, and return how many there were."""
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
    """Remove a directory with its content, as far as permissions allow. Works on trees that were made to resist it.

    Each subdirectory is moved up into `directory` before it is emptied, so that nesting deeper than the limits on paths
    and on recursion is no obstacle. Directories that their own user may not open are made accessible.
    """
    token, pending = secrets.token_hex(8), [directory]
    for number, current in enumerate(pending):
        with suppress(OSError):
            for entry in _open_and_list(current):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        Path(entry).chmod(0o700)  # moving a directory needs write permission on it
                        pending.append(Path(entry).rename(directory / f"{token}-{number}-{len(pending)}"))
                    else:
                        os.unlink(entry)  # noqa: PTH108 - there may be very many
            if current != directory:
                current.rmdir()
    with suppress(OSError):
        directory.rmdir()


def _open_and_list(directory: Path) -> list["os.DirEntry[str]"]:
    directory.chmod(0o700)
    with os.scandir(directory) as entries:
        return list(entries)


class Removals:
    """Context manager that removes directories beside other work. Leaving it waits until all of them are gone."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, directory: Path) -> None:
        """Start removing a directory that nothing uses any more."""
        self._tasks.append(asyncio.create_task(asyncio.to_thread(remove_tree, directory)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.shield(asyncio.gather(*self._tasks))


def _make_job_directory(parent: Path) -> Path:
    """Make a directory whose name no other job can guess: the kernel tells whoever knows it of what is in it."""
    directory = parent / f"job-{secrets.token_hex(16)}"
    directory.mkdir(mode=0o700)
    return directory


def _remove_unused(creation: "asyncio.Future[Path]") -> None:
    if not creation.cancelled() and creation.exception() is None:
        creation.result().rmdir()


@asynccontextmanager
async def job_workspace(parent: Path, removals: Removals) -> AsyncIterator[Path]:
    """Create a directory for one job, which only this user can read, and pass it to `removals` at the end.

    Raises TransientError where it cannot be created: another worker, or this one later, may have free space.
    """
    creation = asyncio.ensure_future(asyncio.to_thread(_make_job_directory, parent))
    try:
        directory = await asyncio.shield(creation)
    except asyncio.CancelledError:
        creation.add_done_callback(_remove_unused)  # the thread goes on
        raise
    except OSError as error:
        raise TransientError(f"the worker's scratch space cannot be written ({error.strerror})") from error
    try:
        yield directory
    finally:
        removals.start(directory)
