"""Cache of facts about files in a directory of the user's. Implements `domain.ports.FactsCache`.

`vibe8 analyze` uses it as workers use the cache in Redis. Each entry is a file, named by its digest. A file begins with
a checksum of its name and content, so an entry that was damaged, cut off or renamed is a miss. Files are written under
another name and then renamed, so several processes can use the directory at once.

Facts are believed, so nobody else may be able to write them: the directory and each entry must belong to the user, and
the directory must be closed to others.
"""

import asyncio
import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import structlog

GET_SECONDS = 2.0
PUT_SECONDS = 5.0
"""A call that takes longer is given up: computing the facts again takes little longer than that."""

MAX_GET_BYTES = 64 << 20
"""Approximate limit on the entries that one `get` returns. Entries beyond it count as not cached."""

MAX_ENTRY_BYTES = 4 << 20
"""Larger entries are not cached."""

BLOCK_BYTES = 4096
"""What a file system allocates at a time; an entry counts as whole blocks."""

USED_SECONDS = 60.0
"""The time of an entry's last use is as exact as this, to save writes."""

_MAGIC = b"vibe8\x00\x01\n"
_CHECKSUM_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _CHECKSUM_BYTES
_OUR_NAME = re.compile(r"[0-9a-f]{40}(\.[0-9a-f]{16})?")
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

T = TypeVar("T")

log = structlog.get_logger(__name__)


def user_cache_directory(environment: Mapping[str, str]) -> Path | None:
    """Return this program's directory below XDG_CACHE_HOME if that is an absolute path, else below ~/.cache.

    Returns None where the user has no home directory.
    """
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "vibe8" if base.is_absolute() else None


class DirectoryFactsCache:
    """Cache of at most `limit_bytes` on disk. The entries that were not used for the longest time are removed."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        """`directory` is made when the first entry is stored."""
        self._directory = directory
        self._limit = limit_bytes

    async def get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the cached entries (see `domain.ports.FactsCache.get`)."""
        return await asyncio.to_thread(self._ignoring_faults, "get", lambda: self._get(digests), {})

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store the entries (see `domain.ports.FactsCache.put`)."""
        await asyncio.to_thread(self._ignoring_faults, "put", lambda: self._put(entries), None)

    def _ignoring_faults(self, operation: str, call: Callable[[], T], otherwise: T) -> T:
        try:
            return call()
        except OSError as error:
            log.debug("facts.cache_unavailable", operation=operation, reason=f"{type(error).__name__}: {error}")
            return otherwise

    def _get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        size, end = 0, time.monotonic() + GET_SECONDS
        with self._open() as directory:
            for digest in digests:
                if size > MAX_GET_BYTES or time.monotonic() > end:
                    break
                with contextlib.suppress(OSError):  # no such entry, or one that cannot be read
                    entry = _read(directory, digest)
                    if entry is not None:
                        found[digest] = entry
                        size += len(entry)
        return found

    def _put(self, entries: Mapping[bytes, bytes]) -> None:
        end = time.monotonic() + PUT_SECONDS
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen, incoming = [], 0
        for digest, entry in entries.items():
            size = _on_disk(len(entry) + _HEADER_BYTES)
            if len(entry) <= MAX_ENTRY_BYTES and incoming + size <= self._limit:
                chosen.append((digest, entry))
                incoming += size
        with self._open() as directory:
            _shrink(directory, self._limit - incoming)
            for digest, entry in chosen:
                if time.monotonic() > end:
                    break
                _write(directory, digest, entry)

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Open the directory. Raises OSError if it is missing, or if another user can write to it."""
        directory = os.open(self._directory, _DIRECTORY_FLAGS)
        try:
            status = os.fstat(directory)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PermissionError("the directory belongs to another user, or is open to others")
            yield directory
        finally:
            os.close(directory)


def _read(directory: int, digest: bytes) -> bytes | None:
    """Return the entry; None if the file is not one of ours. Raises OSError if there is none."""
    with os.fdopen(os.open(digest.hex(), _READ_FLAGS, dir_fd=directory), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return None
        if not _HEADER_BYTES <= status.st_size <= MAX_ENTRY_BYTES + _HEADER_BYTES:
            return None
        data = file.read(status.st_size)
        entry = data[_HEADER_BYTES:]
        if data[:_HEADER_BYTES] != _header(digest, entry):
            return None
        if time.time() - status.st_mtime > USED_SECONDS:
            os.utime(file.fileno())
        return entry


def _write(directory: int, digest: bytes, entry: bytes) -> None:
    """Write the entry in one step: others see all of it or nothing."""
    temporary = f"{digest.hex()}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _WRITE_FLAGS, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_header(digest, entry) + entry)
        os.rename(temporary, digest.hex(), src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise


def _shrink(directory: int, limit: int) -> None:
    """Remove the entries that were not used for the longest time, until the rest takes at most `limit` bytes."""
    found: list[tuple[float, int, str]] = []
    with os.scandir(directory) as listing:
        for file in listing:
            if _OUR_NAME.fullmatch(file.name):
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = file.stat(follow_symlinks=False)
                    found.append((status.st_mtime, _on_disk(status.st_size), file.name))
    total = sum(size for _, size, _ in found)
    for _, size, name in sorted(found):
        if total <= limit:
            return
        total -= size
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)


def _header(digest: bytes, entry: bytes) -> bytes:
    return _MAGIC + blake2b(entry, digest_size=_CHECKSUM_BYTES, key=digest).digest()


def _on_disk(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
