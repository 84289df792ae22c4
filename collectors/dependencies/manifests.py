"""The dependencies that a tree declares. The files are hostile input: none is run, none may be large, many or deep."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from packaging.version import InvalidVersion, Version

from collectors.dependencies.import_names import canonical_name
from collectors.dependencies.manifest_formats import DeclaredDependency, ManifestFormat, format_of
from domain.text import one_line, printable

MANIFEST_BYTES_LIMIT = 1024 * 1024
"""A larger file is not read; a lock of a few thousand packages is smaller."""

ALL_MANIFESTS_BYTES_LIMIT = 8 * 1024 * 1024
"""All files together; those nearest to the root come first."""

DEPENDENCIES_LIMIT = 10_000
"""Entries read of one file."""

_BOMS = (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """Normalised distribution name to its locked or pinned version, None where neither; and what could not be read."""

    declared: dict[str, str | None]
    gaps: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    path: str
    location: bytes
    format: ManifestFormat

    @property
    def rank(self) -> tuple[bool, int, str]:
        """What wins: a lock before a wish, then nearer to the root, then by name."""
        return not self.format.is_lock, self.path.count("/"), self.path


def read_manifests(root: Path | None) -> Manifests:
    """Read every manifest below `root` (None: there are none). Raises nothing that a file could cause.

    Where several give a version, a lock file wins over a pin, then the file nearest to the root, then the first by
    name; within one file the highest version.
    """
    declared: dict[str, str | None] = {}
    gaps: list[str] = []
    left = ALL_MANIFESTS_BYTES_LIMIT
    for manifest in sorted(_find(root), key=lambda found: found.rank) if root else ():
        try:
            data = _read(manifest.location, left)
            left -= len(data)
            entries = list(islice(manifest.format.parse(_decode(data)), DEPENDENCIES_LIMIT + 1))
        except (ValueError, RecursionError, OSError) as error:
            gaps.append(one_line(f"{manifest.path}: dependencies not read: {_reason(error)}", 300))
            continue
        if len(entries) > DEPENDENCIES_LIMIT:
            gaps.append(f"{manifest.path}: only the first {DEPENDENCIES_LIMIT} dependencies were read")
        for name, version in _highest(entries[:DEPENDENCIES_LIMIT]).items():
            declared[name] = declared.get(name) or version
    return Manifests(declared=declared, gaps=gaps)


def _find(root: Path) -> Iterator[_Manifest]:
    base = os.fsencode(root)
    for directory, _, names in os.walk(base):
        for name in names:
            location = os.path.join(directory, name)  # noqa: PTH118 - bytes: names need not be UTF-8
            kind = format_of(os.fsdecode(name))
            if kind is not None:
                yield _Manifest(
                    path=printable(os.fsdecode(os.path.relpath(location, base))), location=location, format=kind
                )


def _read(location: bytes, left: int) -> bytes:
    """The bytes of a regular file, no link followed, no pipe waited for. Raises ValueError where there are too many."""
    descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = file.read(MANIFEST_BYTES_LIMIT + 1)
    if len(data) > MANIFEST_BYTES_LIMIT:
        raise ValueError(f"larger than {MANIFEST_BYTES_LIMIT // 1024} KB")
    if len(data) > left:
        raise ValueError(f"all such files together are larger than {ALL_MANIFESTS_BYTES_LIMIT // 1024} KB")
    return data


def _decode(data: bytes) -> str:
    """UTF-8, or what the byte order mark says; some shells write requirements in UTF-16."""
    encoding = next((encoding for encoding, mark in _BOMS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} text"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def _highest(entries: Iterable[DeclaredDependency]) -> dict[str, str | None]:
    best: dict[str, str | None] = {}
    for entry in entries:
        name = canonical_name(entry.name)
        if name is None:
            continue
        known, offered = best.get(name), _plain(entry.version)
        if known is None or (offered is not None and version_key(offered) > version_key(known)):
            best[name] = offered
    return best


def _plain(version: str | None) -> str | None:
    """The version, unless it is none: whoever reads it should find nothing odd in it."""
    return version if version and len(version) <= 100 and re.fullmatch(r"[\w.!+-]+", version, re.ASCII) else None


def version_key(version: str) -> tuple[bool, Version]:
    """Sorts PEP 440 versions among themselves, and after everything that is none."""
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, Version("0")
