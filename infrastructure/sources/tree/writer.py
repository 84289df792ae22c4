"""The one place that judges a hostile tree's names and sizes, and the only one that writes them to disk."""

import os
import re
from contextlib import suppress
from types import TracebackType
from typing import Self

from domain.errors import InvalidInputError
from domain.metrics.report import SKIPPED_LIMIT, SkippedFile
from domain.sources import EXCLUDED_DIRECTORIES, MANIFEST_NAME_PATTERN, FetchedSource
from domain.text import one_line, printable
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout
from infrastructure.sources.tree.limits import KIB, MIB, SourceLimits

MAX_DEPTH = 64
MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255
MAX_MANIFEST_BYTES = MIB
MAX_NAMES_CHARACTERS = 16_000_000
"""All names of a tree together, as they are shown: a run repeats each of them several times."""

_EXCLUDED = frozenset(os.fsencode(name) for name in EXCLUDED_DIRECTORIES)
_DRIVE = re.compile(rb"[A-Za-z]:")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def display_path(path: bytes) -> str:
    """The path as every reader of the run will see it."""
    return printable(os.fsdecode(path))


def find_excluded_directory(path: bytes) -> bytes | None:
    """The outermost directory on the way to `path` that no collector looks into."""
    parts = path.split(b"/")
    for index, part in enumerate(parts[:-1]):
        if part in _EXCLUDED:
            return b"/".join(parts[: index + 1])
    return None


def is_python_or_manifest(path: bytes) -> bool:
    """Whether a file of this name is a Python file or a manifest."""
    return path.endswith(b".py") or _is_manifest(path)


def _is_manifest(path: bytes) -> bool:
    return MANIFEST_NAME_PATTERN.fullmatch(os.fsdecode(path.rpartition(b"/")[2])) is not None


def invalid_name_reason(path: bytes, *, archive: bool) -> str | None:
    """Why no file may be made under this name, in a few words; None where it may.

    Names in archives are judged for every system that could have packed them, so that a backslash or a drive never
    means one thing to the packer and another to us; in a git tree or on our own disk they are letters like others.
    """
    parts = path.split(b"/")
    if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
        return "unsafe name"
    if archive and (b"\\" in path or _DRIVE.match(path)):
        return "unsafe name"
    if len(path) > MAX_PATH_BYTES or max(map(len, parts)) > MAX_COMPONENT_BYTES:
        return "name too long"
    if len(parts) > MAX_DEPTH:
        return f"deeper than {MAX_DEPTH} directories"
    return None


class TreeWriter:
    """Writes a tree's Python files and manifests into scratch, within the limits, and remembers what was left out.

    Ask `accept` before reading a file's bytes; `write` only what it has accepted. A file that cannot be taken is
    skipped with its reason; a tree that passes a limit as a whole raises InvalidInputError.
    """

    def __init__(self, scratch: SourceLayout, limits: SourceLimits, *, archive: bool = False) -> None:
        """Make the directories. `archive` judges names more strictly, see `invalid_name_reason`."""
        scratch.tree.mkdir()
        scratch.manifests.mkdir()
        self._limits = limits
        self._archive = archive
        self._tree = _Root(scratch.tree)
        self._manifests = _Root(scratch.manifests)
        self._seen: set[str] = set()
        self._excluded: set[bytes] = set()
        self._skipped: list[SkippedFile] = []
        self._skipped_total = 0
        self._listed = 0
        self._accepted = 0
        self._bytes = 0
        self._characters = 0
        self._python_files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tree.close()
        self._manifests.close()

    def skip(self, path: bytes, reason: str) -> None:
        """Note that `path` was left out."""
        self._skipped_total += 1
        if len(self._skipped) < SKIPPED_LIMIT:
            shown = display_path(path)
            shown = shown if len(shown) <= MAX_PATH_BYTES else shown[: MAX_PATH_BYTES - 1] + "…"
            self._skipped.append(SkippedFile(path=shown, reason=reason))

    def is_excluded(self, path: bytes) -> bool:
        """Whether `path` lies in a directory that is left out by name, which is noted once."""
        directory = find_excluded_directory(path)
        if directory is None:
            return False
        if directory not in self._excluded:
            self._excluded.add(directory)
            self.skip(directory, "excluded directory")
        return True

    def count_entry(self) -> None:
        """Count one name of any kind. Raises InvalidInputError where there are too many to be a source tree."""
        self._listed += 1
        if self._listed > self._limits.max_listed_entries:
            raise InvalidInputError(f"the tree has more than {self._limits.max_listed_entries} entries")

    def accept(self, path: bytes, size: int) -> bool:
        """Whether to read this regular file of `size` bytes and hand it to `write`.

        Raises InvalidInputError where the tree has more files or bytes than the limits allow.
        """
        if self.is_excluded(path) or not is_python_or_manifest(path):
            return False
        shown = display_path(path)
        reason = (
            invalid_name_reason(path, archive=self._archive) or self._size_fault(path, size) or self._shown_fault(shown)
        )
        if reason is not None:
            self.skip(path, reason)
            return False
        self._charge(size, len(shown))
        return True

    def _size_fault(self, path: bytes, size: int) -> str | None:
        limit = self.size_limit(path)
        return f"larger than {limit // KIB} KB" if size > limit else None

    def size_limit(self, path: bytes) -> int:
        """How many bytes the file of this name may have."""
        return self._limits.max_file_bytes if path.endswith(b".py") else MAX_MANIFEST_BYTES

    def _shown_fault(self, shown: str) -> str | None:
        if len(shown) > MAX_PATH_BYTES:  # an escape is up to four times as long as what it stands for
            return "name too long"
        # Two names that are shown alike would be added up as one file by everyone downstream.
        if shown in self._seen:
            return "another file has the same name"
        self._seen.add(shown)
        return None

    def _charge(self, size: int, characters: int) -> None:
        self._accepted += 1
        self._bytes += size
        self._characters += characters
        if self._characters > MAX_NAMES_CHARACTERS:
            raise InvalidInputError(
                f"the tree's file names have more than {MAX_NAMES_CHARACTERS // 10**6} million characters together"
            )
        if self._accepted > self._limits.max_tree_files:
            raise InvalidInputError(f"more than {self._limits.max_tree_files} Python files (MAX_TREE_FILES)")
        if self._bytes > self._limits.max_clone_bytes:
            raise InvalidInputError(
                f"more than {self._limits.max_clone_bytes // MIB} MB of Python files (MAX_CLONE_MB)"
            )

    def write(self, path: bytes, data: bytes, *, executable: bool = False) -> None:
        """Write a file that `accept` has accepted; one whose place is taken by a file or directory is skipped."""
        is_python = path.endswith(b".py")
        root = self._tree if is_python else self._manifests
        try:
            root.write(path, data, executable=executable)
        except (FileExistsError, NotADirectoryError):
            self.skip(path, "a file and a directory have the same name")
            return
        self._python_files += is_python

    def finish(self, what: str, history: FetchedHistory | None) -> FetchedSource:
        """The source as fetched. Raises InvalidInputError where `what` (a noun) held no Python file."""
        if not self._python_files:
            raise InvalidInputError(f"the {what} has no Python file to analyse{self._first_skipped()}")
        return FetchedSource(
            has_history=history is not None,
            shallow=history.shallow if history else False,
            commit_sha=history.commit_sha if history else None,
            branch=history.branch if history else None,
            skipped=tuple(self._skipped),
            skipped_total=self._skipped_total,
        )

    def _first_skipped(self) -> str:
        if not self._skipped:
            return ""
        first = self._skipped[0]
        return f" ({self._skipped_total} left out, the first: {one_line(first.path, 200)}: {first.reason})"


class _Root:
    """A directory under which files are created by descriptor, one component at a time: no name can lead out of it."""

    def __init__(self, path: os.PathLike[str]) -> None:
        self._root = os.open(path, _DIRECTORY)
        self._parent = b""
        self._parent_fd = self._root

    def close(self) -> None:
        self._forget_parent()
        os.close(self._root)

    def write(self, path: bytes, data: bytes, *, executable: bool) -> None:
        parent, _, name = path.rpartition(b"/")
        file = os.open(name, _NEW_FILE, 0o755 if executable else 0o644, dir_fd=self._directory(parent))
        with os.fdopen(file, "wb") as stream:
            stream.write(data)

    def _directory(self, path: bytes) -> int:
        """The descriptor of a directory, made where missing. Sources list files by directory, so the last is kept."""
        if path == self._parent:
            return self._parent_fd
        self._forget_parent()
        current = self._root
        for part in path.split(b"/") if path else ():
            try:
                inner = _enter(current, part)
            finally:
                if current != self._root:
                    os.close(current)
            current = inner
        self._parent, self._parent_fd = path, current
        return current

    def _forget_parent(self) -> None:
        if self._parent_fd != self._root:
            os.close(self._parent_fd)
        self._parent, self._parent_fd = b"", self._root


def _enter(directory: int, name: bytes) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=directory)
    return os.open(name, _DIRECTORY, dir_fd=directory)
