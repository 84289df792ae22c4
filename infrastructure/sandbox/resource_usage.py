"""What a child uses in all: threads, memory and disk of all its processes, which no kernel limit adds up.

The supervisor checks several times a second. The limits on each process bound what it misses between two checks.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from infrastructure.sandbox.libc import set_filesystem_ids

MAX_DEPTH = 100
"""Deepest nesting of directories that is counted; a source tree has at most 64."""

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MIN_DISK_CHECK_INTERVAL = 0.5
_DISK_CHECK_PAUSE_FACTOR = 20
"""The pause after a check of the disk is at least this many times as long as the check."""


class UnreadableDirectoryError(Exception):
    """A directory is nested too deep or cannot be opened, so that its content cannot be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """Limits on all of a child together: threads of all processes, resident memory, bytes and entries in scratch.

    `sockets` limits the memory in the buffers of sockets, which is part of no process: each may have several MB.
    """

    tasks: int
    memory_bytes: int
    disk_bytes: int
    disk_entries: int
    sockets: int


@dataclass(slots=True)
class ResourceUsage:
    """Usage of this process's descendants.

    `directory` is where they may write, None if nowhere. Without `counts_sockets` they can make none.
    """

    limits: ResourceLimits
    directory: str | None
    counts_sockets: bool
    _next_disk_check: float = field(default=0.0)

    def exceeded_limit(self) -> str | None:
        """Return the resource whose limit is exceeded (`tasks`, `memory`, `sockets` or `disk`); None if none is."""
        tasks = pages = 0
        for pid in descendants(os.getpid()):
            threads, resident = threads_and_pages(pid)
            tasks += threads
            pages += resident
            if tasks > self.limits.tasks:
                return "tasks"
        if pages * _PAGE_BYTES > self.limits.memory_bytes:
            return "memory"
        if self.counts_sockets and _count_sockets() > self.limits.sockets:
            return "sockets"
        return "disk" if self._exceeds_disk_limit() else None

    def _exceeds_disk_limit(self) -> bool:
        started = time.monotonic()
        if self.directory is None or started < self._next_disk_check:
            return False
        exceeded = _exceeds_disk_limit(self.directory, self.limits)
        ended = time.monotonic()
        self._next_disk_check = ended + max(_MIN_DISK_CHECK_INTERVAL, _DISK_CHECK_PAUSE_FACTOR * (ended - started))
        return exceeded


def descendants(pid: int) -> Iterator[int]:
    """Yield the pids of all living descendants of a process."""
    pending = [pid]
    while pending:
        for child in child_pids(pending.pop()):
            yield child
            pending.append(child)


def child_pids(pid: int) -> list[int]:
    """Return the pids of a process's children; none if it has ended or the kernel does not list them."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_bytes().split())
    except OSError:
        pass  # it has just ended
    return found


def threads_and_pages(pid: int) -> tuple[int, int]:
    """Return a process's threads and resident pages, (0, 0) if it has ended. Each process counts shared pages."""
    try:
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        return threads, int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0, 0


def open_files(pid: int) -> list[os.stat_result]:
    """Return the status of each file that a process has open, as far as the kernel permits.

    Reads /proc with the process's own filesystem uid, since even root may not list these files without a capability.
    """
    found = []
    with suppress(OSError):
        owner = Path(f"/proc/{pid}/fd").stat()  # root if the process is undumpable
        set_filesystem_ids(owner.st_uid, owner.st_gid)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(descriptor.stat())
    set_filesystem_ids(os.geteuid(), os.getegid())
    return found


def _exceeds_disk_limit(directory: str, limits: ResourceLimits) -> bool:
    used_bytes = entries = 0
    try:
        for status in chain(_walk(directory, None, MAX_DEPTH), _deleted_open_files()):
            entries += 1
            used_bytes += status.st_blocks * 512
            if used_bytes > limits.disk_bytes or entries > limits.disk_entries:
                return True
    except UnreadableDirectoryError:
        return True
    return False


def _walk(name: str, parent: int | None, depth: int) -> Iterator[os.stat_result]:
    """Yield the status of each entry below a directory. Uses descriptors: a path can be too long for a system call."""
    if depth == 0:
        raise UnreadableDirectoryError
    try:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:  # a child that denies access to its directory hides what it writes
        raise UnreadableDirectoryError from error
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield status
                    if stat.S_ISDIR(status.st_mode):
                        yield from _walk(entry.name, directory, depth - 1)
    finally:
        os.close(directory)


def _count_sockets() -> int:
    """Count the sockets of all descendants; one that several have open counts once."""
    opened = (status for pid in descendants(os.getpid()) for status in open_files(pid))
    return len({status.st_ino for status in opened if stat.S_ISSOCK(status.st_mode)})


def _deleted_open_files() -> Iterator[os.stat_result]:
    """Yield the status of files that descendants hold open and that have no name any more."""
    for pid in descendants(os.getpid()):
        for status in open_files(pid):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                yield status
