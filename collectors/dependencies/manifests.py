"""The dependencies that a tree declares in its manifests.

The manifests are hostile input: none is executed, and their size, number of entries and nesting are limited.
"""

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
"""A larger manifest is not read; the lock file of a few thousand packages is smaller."""

ALL_MANIFESTS_BYTES_LIMIT = 8 * 1024 * 1024
"""Size of all manifests together; they are read in order of precedence."""

DEPENDENCIES_LIMIT = 10_000
"""Entries read from one manifest."""

_BOMS = (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """The declared distributions, by normalised name.

    `declared` maps each to its locked or pinned version, else None. `direct` lists those that not only a lock file
    names, sorted. `gaps` says what could not be read.
    """

    declared: dict[str, str | None]
    direct: list[str]
    gaps: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    path: str
    location: bytes
    format: ManifestFormat

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Sort key by precedence: lock files first, then files nearer to the root, then by name."""
        return not self.format.is_lock, self.path.count("/"), self.path


def read_manifests(root: Path | None) -> Manifests:
    """Read every manifest below `root`; None means that there are none.

    A manifest that cannot be read is a gap and raises nothing. Where several manifests give a version, a lock file
    wins over a pin, then the file nearest to the root, then the first by name. Within one file the highest version
    wins.
    """
    declared: dict[str, str | None] = {}
    direct: set[str] = set()
    gaps: list[str] = []
    remaining = ALL_MANIFESTS_BYTES_LIMIT
    for manifest in sorted(_find(root), key=lambda found: found.rank) if root else ():
        try:
            data = _read(manifest.location, remaining)
            remaining -= len(data)
            entries = list(islice(manifest.format.parse(_decode(data)), DEPENDENCIES_LIMIT + 1))
        except (ValueError, RecursionError, OSError) as error:
            gaps.append(one_line(f"{manifest.path}: dependencies not read: {_describe(error)}", 300))
            continue
        if len(entries) > DEPENDENCIES_LIMIT:
            gaps.append(f"{manifest.path}: only the first {DEPENDENCIES_LIMIT} dependencies were read")
        versions = _highest_versions(entries[:DEPENDENCIES_LIMIT])
        direct.update(() if manifest.format.is_lock else versions)
        for name, version in versions.items():
            declared[name] = declared.get(name) or version
    return Manifests(declared=declared, direct=sorted(direct), gaps=gaps)


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


def _read(location: bytes, remaining: int) -> bytes:
    """Read a regular file. Symbolic links are not followed and pipes do not block. Raises ValueError beyond a limit."""
    descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = file.read(MANIFEST_BYTES_LIMIT + 1)
    if len(data) > MANIFEST_BYTES_LIMIT:
        raise ValueError(f"larger than {MANIFEST_BYTES_LIMIT // 1024} KB")
    if len(data) > remaining:
        raise ValueError(f"all such files together are larger than {ALL_MANIFESTS_BYTES_LIMIT // 1024} KB")
    return data


def _decode(data: bytes) -> str:
    """Decode as UTF-8, or as the byte order mark says: some shells write requirements in UTF-16."""
    encoding = next((encoding for encoding, mark in _BOMS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def _describe(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} text"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def _highest_versions(entries: Iterable[DeclaredDependency]) -> dict[str, str | None]:
    best: dict[str, str | None] = {}
    for entry in entries:
        name = canonical_name(entry.name)
        if name is None:
            continue
        known, offered = best.get(name), _safe_version(entry.version)
        if known is None or (offered is not None and version_key(offered) > version_key(known)):
            best[name] = offered
    return best


def _safe_version(version: str | None) -> str | None:
    """Return the version if it has only the characters of a version; else None, so it is safe to display."""
    return version if version and len(version) <= 100 and re.fullmatch(r"[\w.!+-]+", version, re.ASCII) else None


def version_key(version: str) -> tuple[bool, Version]:
    """Return a sort key: PEP 440 versions in their order, after all other strings."""
    try:
        return True, Version(version)
    except InvalidVersion:
        return False, Version("0")
