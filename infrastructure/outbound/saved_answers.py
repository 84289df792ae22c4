"""Answers of a package index that a user's commands keep from one run to the next, in a file of the user's."""

import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from domain.ports import ClosablePackageIndex

KEPT_SECONDS = 3600.0
"""As long as a worker keeps answers in memory."""

MAX_ANSWERS = 4096
MAX_FILE_BYTES = 1 << 20
MAX_TEXT = 250

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Answer = tuple[float, str | None]
"""When the answer expires, in seconds since the epoch, and the version."""


class SavedAnswers:
    """Package index that asks another one only for packages whose answers are not in the file.

    Implements `domain.ports.PackageIndex`. The file is read only if it belongs to the user and nobody else can write to
    it. A file that is damaged counts as empty.
    """

    def __init__(
        self, index: ClosablePackageIndex, directory: Path, address: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`directory` is made when there is something to keep. `address` is the index's: each has a file of its own."""
        self._index = index
        self._file = directory / f"{blake2b(address.encode(), digest_size=10).hexdigest()}.json"
        self._clock = clock
        self._answers = _read(self._file, clock())
        self._has_new = False

    async def prepare(self) -> None:
        """Prepare the other index, unless answers were saved: then there may be nothing to ask."""
        if not self._answers:
            await self._index.prepare()

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """See `domain.ports.PackageIndex.latest_versions`."""
        saved = {name: self._answers[name][1] for name in packages if name in self._answers}
        rest = [name for name in packages if name not in saved]
        if not rest:
            return saved
        found = await self._index.latest_versions(rest)
        expires = self._clock() + KEPT_SECONDS
        self._answers.update({name: (expires, version) for name, version in found.items()})
        self._has_new = self._has_new or bool(found)
        return {**saved, **found}

    async def aclose(self) -> None:
        """Close the other index."""
        await self._index.aclose()

    def save(self) -> None:
        """Write the file, if there are new answers. A fault of the file system only costs time in the next run."""
        if self._has_new:
            _write(self._file, self._answers)
            self._has_new = False


def _read(file: Path, now: float) -> dict[str, Answer]:
    """Return the answers in the file that have not expired."""
    try:
        with os.fdopen(os.open(file, _OPEN_FLAGS), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return {}
            data = stream.read(MAX_FILE_BYTES + 1)
            document = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    entries = document.items() if isinstance(document, dict) else ()
    return {name: (entry[0], entry[1]) for name, entry in entries if _is_valid(entry, now)}


def _is_valid(entry: object, now: float) -> bool:
    if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], int | float):
        return False
    version = entry[1]
    return now < entry[0] <= now + KEPT_SECONDS and (version is None or _is_short_text(version))


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _write(file: Path, answers: Mapping[str, Answer]) -> None:
    """Replace the file in one step. The answers that expire last are kept."""
    latest = sorted(answers.items(), key=lambda item: item[1][0])[-MAX_ANSWERS:]
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            json.dump(dict(latest), stream)
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
