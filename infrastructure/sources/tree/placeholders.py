"""Names of entries that are not copied, kept in the tree because an import may mean them.

ruff takes an import for first-party if the tree has a directory or a module of that name, and `deps` does not take the
name of such a module for a package of others. A directory is kept as an empty one, a file as an empty file without any
permission, which is not analysed (see `collectors.source.source_tree`).
"""

import posixpath
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum, auto
from itertools import islice

from infrastructure.sources.tree.directory_writer import DirectoryWriter

_MODULE_SUFFIXES = (b".py", b".pyi", b".pyx", b".so", b".pyd")
_PACKAGE_FILES = (b"__init__.py", b"__init__.pyi")
_MAX_DEPTH = 16
_MAX_TARGET_BYTES = 1024
"""Modules with longer names are not imported."""


class LinkKind(Enum):
    """What a symbolic link leads to."""

    FILE = auto()
    DIRECTORY = auto()
    NOTHING = auto()
    UNKNOWN = auto()


class Placeholders:
    """The names, at most `limit` of them, which are chosen in the order in which they come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: set[bytes] = set()
        self._directories: set[bytes] = set()
        self._copied: set[bytes] = set()
        self._links: dict[bytes, bytes] = {}
        self._last_parent = b""

    def add_file(self, path: bytes) -> None:
        """Add a file that is not copied."""
        self._add_parent(path)
        if self._has_room() and _may_be_imported(path):
            self._files.add(path)

    def add_directory(self, path: bytes) -> None:
        """Add a directory, which exists anyway if a file in it is copied."""
        if self._has_room() and _are_identifiers(path):
            self._directories.add(path)

    def add_copied(self, path: bytes) -> None:
        """Add a file that is copied: a link may lead to it."""
        self._copied.add(path)

    def add_link(self, path: bytes, target: bytes | None, kind: LinkKind) -> None:
        """Add a symbolic link. With LinkKind.UNKNOWN only a `target` within the tree counts."""
        if kind is LinkKind.FILE:
            self.add_file(path)
        elif kind is LinkKind.DIRECTORY:
            self.add_directory(path)
        if kind in (LinkKind.DIRECTORY, LinkKind.UNKNOWN) and target and len(target) <= _MAX_TARGET_BYTES:
            found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            if self._has_room() and not found.startswith((b"/", b"..")):
                self._links[path] = found

    def write(self, tree: DirectoryWriter) -> None:
        """Make the entries. Where a name is taken, or too long, the entry is left out."""
        self._follow_links()
        for path in sorted(self._directories):
            with suppress(OSError):
                tree.make_directory(path)
        for path in sorted(self._files):
            with suppress(OSError):
                tree.write_placeholder(path)

    def _add_parent(self, path: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if parent != self._last_parent:
            self._last_parent = parent
            self.add_directory(parent)

    def _has_room(self) -> bool:
        return len(self._files) + len(self._directories) + len(self._links) < self._limit

    def _follow_links(self) -> None:
        """Add a link's name as what it leads to, and the names below a directory that it leads to."""
        known = sorted({*self._files, *self._copied})
        folders = {folder for path in known for folder in _folders_of(path)} | self._directories
        steps = 10 * self._limit
        for path, target in sorted(self._links.items()):
            if target in folders or target == b".":
                self.add_directory(path)
                steps -= self._add_below(path, b"" if target == b"." else target + b"/", known, steps)
            elif target in self._copied or target in self._files:
                self.add_file(path)

    def _add_below(self, link: bytes, prefix: bytes, known: list[bytes], steps: int) -> int:
        """Add the known files below `prefix` as files below `link`; return how many were looked at, at most `steps`."""
        below = islice(known, bisect_left(known, prefix), bisect_left(known, prefix + b"\xff"))
        count = 0
        for path in islice(below, max(steps, 0)):
            count += 1
            if not path.startswith(link + b"/"):
                self.add_file(link + b"/" + path[len(prefix) :])
        return count


def _may_be_imported(path: bytes) -> bool:
    folder, _, name = path.rpartition(b"/")
    if name in _PACKAGE_FILES:  # it makes its folder a package, which matters to all modules in it
        return path.count(b"/") < _MAX_DEPTH and (not folder or all(map(_is_plain, folder.split(b"/"))))
    stem = name.partition(b".")[0]
    return name.endswith(_MODULE_SUFFIXES) and _is_identifier(stem) and (not folder or _are_identifiers(folder))


def _are_identifiers(path: bytes) -> bool:
    parts = path.split(b"/")
    return len(parts) <= _MAX_DEPTH and all(map(_is_identifier, parts))


def _is_identifier(part: bytes) -> bool:
    return len(part) <= 255 and part.decode("utf-8", "replace").isidentifier()


def _is_plain(part: bytes) -> bool:
    return part not in (b"", b".", b"..") and len(part) <= 255 and not {0, 92} & set(part)


def _folders_of(path: bytes) -> Iterator[bytes]:
    folder = path.rpartition(b"/")[0]
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]
