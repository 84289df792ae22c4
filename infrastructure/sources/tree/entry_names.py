"""Rules for names in archives, git trees and directories: which are unsafe, excluded or read; how they are shown."""

import os
import re

from domain.metrics.manifest_files import is_manifest
from domain.sources import EXCLUDED_DIRECTORIES
from domain.text import printable_name

MAX_DEPTH = 64
MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255

MACOS_METADATA = b"__MACOSX"
UNSAFE_IN_ARCHIVE = "unsafe name: pack the folder again with relative paths that stay inside it"

_APPLE_DOUBLE = b"\x00\x05\x16\x07"
_DRIVE_PATTERN = re.compile(rb"[A-Za-z]:")
_EXCLUDED = frozenset(os.fsencode(name) for name in EXCLUDED_DIRECTORIES)


def display_path(path: bytes) -> str:
    """Convert a path to printable text, as results show it."""
    return printable_name(os.fsdecode(path))


def find_excluded_directory(path: bytes) -> bytes | None:
    """Return the outermost directory above `path` whose name is excluded; None if there is none."""
    parts = path.split(b"/")
    for index, part in enumerate(parts[:-1]):
        if part in _EXCLUDED:
            return b"/".join(parts[: index + 1])
    return None


def is_python_or_manifest(path: bytes) -> bool:
    """Whether the name is that of a Python file or a manifest."""
    return path.endswith(b".py") or is_manifest(os.fsdecode(path))


def invalid_name_reason(path: bytes, *, archive: bool) -> str | None:
    """Return why the path is refused, in a few words; None if it is valid.

    In an archive a backslash or a drive letter is refused as well, because its meaning depends on the system that made
    the archive. In a git tree or a local directory they are ordinary characters.
    """
    parts = path.split(b"/")
    if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
        return UNSAFE_IN_ARCHIVE if archive else "unsafe name"
    if archive and (b"\\" in path or _DRIVE_PATTERN.match(path)):
        return UNSAFE_IN_ARCHIVE
    if len(path) > MAX_PATH_BYTES or max(map(len, parts)) > MAX_COMPONENT_BYTES:
        return "name too long"
    if len(parts) > MAX_DEPTH:
        return f"deeper than {MAX_DEPTH} directories"
    return None


def is_apple_double(path: bytes, data: bytes) -> bool:
    """Whether the file is one in which macOS keeps metadata of another, by its name and its first bytes."""
    return data.startswith(_APPLE_DOUBLE) and path.rpartition(b"/")[2].startswith(b"._")
