"""The dependencies that a tree declares in its manifests, and the projects that it consists of.

The manifests are hostile input: none is executed, and their size, number of entries and nesting are limited.
"""

import codecs
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from collectors.dependencies.import_names import canonical_name
from collectors.dependencies.manifest_formats import CONSTRAINTS, REQUIREMENTS, ManifestFormat, format_of
from collectors.dependencies.requirements_format import (
    DeclaredDependency,
    Entry,
    Include,
    OwnProject,
    PackageIndexUrl,
    Unread,
)
from collectors.dependencies.setup_script import parse_setup_script
from domain.metrics.manifest_files import MAX_INCLUDED_FILES, MAX_MANIFEST_BYTES, resolve_include
from domain.text import one_line, printable_name

ALL_MANIFESTS_BYTES_LIMIT = 32 * 1024 * 1024
"""Size of all manifests together; they are read in order of precedence."""

DEPENDENCIES_LIMIT = 10_000
"""Entries read from one manifest."""

_BOMS = (
    ("utf-8", codecs.BOM_UTF8),
    ("utf-32", codecs.BOM_UTF32_LE),
    ("utf-32", codecs.BOM_UTF32_BE),
    ("utf-16", codecs.BOM_UTF16_LE),
    ("utf-16", codecs.BOM_UTF16_BE),
)
_COOKIE = re.compile(rb"^[ \t\f]*+#[^\n]*?coding[:=][ \t]*+([-\w.]+)")
_SETUP_SCRIPT = "setup.py"
_PROJECT_FILES = ("pyproject.toml", "setup.cfg", _SETUP_SCRIPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """The declared distributions, by normalised name.

    `declared` maps each to its locked or pinned version, else None. `own` are the names of the tree's own projects, and
    `elsewhere` those of distributions that come from a path, a repository or a URL: no package index is asked for
    either. With a `private_index` none is asked for anything of the tree, since nobody knows which names are private.
    `roots` are the folders in which the projects' modules are, beside `src` in each of them. `gaps` says what could not
    be read.
    """

    declared: dict[str, str | None] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    private_index: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    path: str
    location: bytes
    format: ManifestFormat

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Sort key by precedence: lock files, then others, then constraints; those nearer to the root first."""
        return not self.format.is_lock, self.format.is_constraint, self.path.count("/"), self.path


def read_manifests(root: Path | None, setup_scripts: Mapping[str, Path] | None = None) -> Manifests:
    """Read every manifest below `root` (None: there are none), and the `setup.py` files, by their paths in the tree.

    A manifest that cannot be read is a gap and raises nothing. Where several manifests give a version, a lock file
    wins over a pin, a pin over a constraint, then the file nearest to the root, then the first by name. Within one file
    the highest version wins.
    """
    reader = _Reader()
    found = list(_find(root)) if root else []
    for path, location in (setup_scripts or {}).items():
        found.append(_Manifest(path=path, location=os.fsencode(location), format=_SETUP_FORMAT))
    for manifest in sorted(found, key=lambda found: found.rank):
        reader.read(manifest)
    if root:
        reader.read_included(root)
    return reader.result()


class _Reader:
    """Reads manifests one by one, in order of precedence."""

    def __init__(self) -> None:
        self._remaining = ALL_MANIFESTS_BYTES_LIMIT
        self._read: set[str] = set()
        self._includes: dict[str, tuple[str, bool]] = {}
        self._declared: dict[str, str | None] = {}
        self._constraints: dict[str, str] = {}
        self._own: set[str] = set()
        self._elsewhere: set[str] = set()
        self._roots: set[str] = set()
        self._gaps: list[str] = []
        self._private_index = False

    def read(self, manifest: _Manifest) -> None:
        """Read one manifest, if it was not read before."""
        self._read.add(manifest.path)
        folder, _, name = manifest.path.rpartition("/")
        if name in _PROJECT_FILES:
            self._roots.add(folder)
        try:
            data = _read(manifest.location, self._remaining)
            self._remaining -= len(data)
            entries = list(islice(manifest.format.parse(_decode(data)), DEPENDENCIES_LIMIT + 1))
        except (ValueError, SyntaxError, RecursionError, MemoryError, OSError) as error:
            if name != _SETUP_SCRIPT or not isinstance(error, SyntaxError):  # the file itself is named in that case
                self._add_gap(f"{manifest.path}: dependencies not read: {_describe(error)}")
            return
        if len(entries) > DEPENDENCIES_LIMIT:
            self._add_gap(f"{manifest.path}: only the first {DEPENDENCIES_LIMIT} dependencies were read")
        self._add(manifest, entries[:DEPENDENCIES_LIMIT])

    def _add(self, manifest: _Manifest, entries: Sequence[Entry]) -> None:
        versions = _highest_versions(entry for entry in entries if isinstance(entry, DeclaredDependency))
        if manifest.format.is_constraint:
            for name, version in versions.items():
                if version is not None:
                    self._constraints.setdefault(name, version)
        else:
            for name, version in versions.items():
                self._declared[name] = self._declared.get(name) or version
        for entry in entries:
            self._add_other(manifest.path, entry)

    def _add_other(self, path: str, entry: Entry) -> None:
        if isinstance(entry, DeclaredDependency):
            name = None if entry.indexed else canonical_name(entry.name)
            self._elsewhere.update(() if name is None else (name,))
        elif isinstance(entry, OwnProject):
            name = canonical_name(entry.name) if entry.name else None
            self._own.update(() if name is None else (name,))
            roots = (resolve_include(path, root) for root in entry.roots)
            self._roots.update(root for root in roots if root is not None)
        elif isinstance(entry, PackageIndexUrl):
            if not self._private_index and not _is_default_index(entry.url):
                self._private_index = True
                self._add_gap(f"{path}: no package index is asked: the packages may come from a private one")
        elif isinstance(entry, Unread):
            self._add_gap(f"{path}: dependencies not read: {entry.reason}")
        else:
            self._add_include(path, entry)

    def _add_include(self, path: str, include: Include) -> None:
        target = resolve_include(path, include.target)
        if target is None:
            self._add_gap(f"{path}: dependencies not read: {include.target} is not a file of the tree")
        elif target not in self._includes or not include.constraint:
            self._includes[target] = (path, include.constraint)

    def read_included(self, root: Path) -> None:
        """Read the files that manifests include and that do not have the name of a manifest."""
        for _ in range(MAX_INCLUDED_FILES):
            target = next((target for target in self._includes if target not in self._read), None)
            if target is None:
                return
            path, is_constraint = self._includes[target]
            location = os.fsencode(root) + b"/" + os.fsencode(target)
            if os.path.lexists(location):
                kind = CONSTRAINTS if is_constraint else format_of(target) or REQUIREMENTS
                self.read(_Manifest(path=target, location=location, format=kind))
            else:
                self._read.add(target)
                self._add_gap(f"{path}: dependencies not read: there is no file {target}")
        self._add_gap(f"only {MAX_INCLUDED_FILES} files of dependencies that others include were read")

    def _add_gap(self, text: str) -> None:
        self._gaps.append(one_line(text, 300))

    def result(self) -> Manifests:
        """Return what was read."""
        for name, version in self._declared.items():
            self._declared[name] = version or self._constraints.get(name)
        return Manifests(
            declared=self._declared,
            own=sorted(self._own),
            elsewhere=sorted(self._elsewhere),
            roots=sorted(self._roots),
            gaps=self._gaps,
            private_index=self._private_index,
        )


def _is_default_index(url: str) -> bool:
    """Return whether the address is the default index's, whose library says where that is."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - slow to import, and few trees name an index

    try:
        return urlsplit(url).hostname == urlsplit(PYPI_SIMPLE_ENDPOINT).hostname
    except ValueError:
        return False


def _find(root: Path) -> Iterator[_Manifest]:
    base = os.fsencode(root)
    for directory, _, names in os.walk(base):
        for name in names:
            location = os.path.join(directory, name)  # noqa: PTH118 - bytes: names need not be UTF-8
            path = printable_name(os.fsdecode(os.path.relpath(location, base)))
            kind = format_of(path)
            if kind is not None:
                yield _Manifest(path=path, location=location, format=kind)


def _read(location: bytes, remaining: int) -> bytes:
    """Read a regular file. Symbolic links are not followed and pipes do not block. Raises ValueError beyond a limit."""
    descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise ValueError(f"larger than {MAX_MANIFEST_BYTES // 1024} KB")
    if len(data) > remaining:
        raise ValueError(f"all such files together are larger than {ALL_MANIFESTS_BYTES_LIMIT // 1024} KB")
    return data


def _decode(data: bytes) -> str:
    """Decode as pip does: by the byte order mark, else as one of the first two lines declares, else as UTF-8."""
    for encoding, mark in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(f"{encoding}-{_order(mark)}" if encoding != "utf-8" else encoding)
    for line in data.split(b"\n", 2)[:2]:
        cookie = _COOKIE.match(line)
        if cookie:
            try:
                return data.decode(cookie[1].decode("ascii"))
            except LookupError as error:
                raise ValueError(f"unknown encoding {cookie[1].decode('ascii', 'replace')}") from error
    return data.decode("utf-8")


def _order(mark: bytes) -> str:
    return "be" if mark in (codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE) else "le"


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


_SETUP_FORMAT = ManifestFormat(parse=parse_setup_script)
