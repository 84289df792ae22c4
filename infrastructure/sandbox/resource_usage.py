"""What a child uses as a whole: all its processes together, whom no limit of the kernel's adds up.

The guardian looks several times a second. What it overlooks between two looks is bounded by the limits on each process.
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
"""Directories inside each other; a source tree has at most 64."""

_PAGE = os.sysconf("SC_PAGESIZE")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESTING = 20
"""How many times longer to rest than a look at the disk has taken."""


class UnreadableDirectoryError(Exception):
    """There is more below a directory than can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """On all of a child together: threads of all processes, bytes of memory, bytes and entries in its directory."""

    tasks: int
    memory_bytes: int
    disk_bytes: int
    disk_entries: int


@dataclass(slots=True)
class ResourceUsage:
    """Counts the descendants of this process; `directory` is what they may write to, None where that is nothing."""

    bounds: ResourceLimits
    directory: str | None
    _next_disk: float = field(default=0.0)

    def exceeded_limit(self) -> str | None:
        """Of what there is too much: `tasks`, `memory` or `disk`; None where all is well."""
        tasks = pages = 0
        for pid in descendants(os.getpid()):
            threads, resident = size(pid)
            tasks += threads
            pages += resident
            if tasks > self.bounds.tasks:
                return "tasks"
        if pages * _PAGE > self.bounds.memory_bytes:
            return "memory"
        return "disk" if self._disk_is_full() else None

    def _disk_is_full(self) -> bool:
        started = time.monotonic()
        if self.directory is None or started < self._next_disk:
            return False
        full = _exceeds(self.directory, self.bounds)
        self._next_disk = time.monotonic() + max(0.5, _RESTING * (time.monotonic() - started))
        return full


def descendants(pid: int) -> Iterator[int]:
    """Every process that this one, or one of its own, has started and that is still there."""
    pending = [pid]
    while pending:
        for child in children(pending.pop()):
            yield child
            pending.append(child)


def children(pid: int) -> list[int]:
    """The direct ones; none where it is gone, or the kernel does not tell."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_bytes().split())
    except OSError:
        pass  # it has just ended
    return found


def size(pid: int) -> tuple[int, int]:
    """Threads and resident pages; pages that processes share count for each of them."""
    try:
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        return threads, int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0, 0


def _exceeds(directory: str, bounds: ResourceLimits) -> bool:
    used = entries = 0
    try:
        for status in chain(_walk(directory, None, MAX_DEPTH), _unlinked()):
            entries += 1
            used += status.st_blocks * 512
            if used > bounds.disk_bytes or entries > bounds.disk_entries:
                return True
    except UnreadableDirectoryError:
        return True
    return False


def _walk(name: str, parent: int | None, depth: int) -> Iterator[os.stat_result]:
    """Whatever lies below the directory; by descriptors, since a path can be longer than any call takes."""
    if depth == 0:
        raise UnreadableDirectoryError
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:  # nobody who has nothing to hide closes a directory to us
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


def _unlinked() -> Iterator[os.stat_result]:
    """Files that have no name any more and that the descendants holds open."""
    for pid in descendants(os.getpid()):
        for status in open_files(pid):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                yield status


def open_files(pid: int) -> list[os.stat_result]:
    """What the process has open, as far as the kernel lets us see that: as its user, since root alone may not."""
    found = []
    with suppress(OSError):
        owner = Path(f"/proc/{pid}/fd").stat()  # root where it hides
        set_filesystem_ids(owner.st_uid, owner.st_gid)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(descriptor.stat())
    set_filesystem_ids(os.geteuid(), os.getegid())
    return found
