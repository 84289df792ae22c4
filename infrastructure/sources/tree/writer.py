"""Writing of an untrusted tree within limits; the only code that writes its files to disk."""

import os
import unicodedata
from types import TracebackType
from typing import Self

from domain.errors import InvalidInputError
from domain.metrics.manifest_files import MAX_INCLUDED_FILES, MAX_MANIFEST_BYTES, included_paths
from domain.metrics.report import SKIPPED_LIMIT, SkippedFile
from domain.selection import ALL, Selection
from domain.sources import FetchedSource
from domain.text import one_line
from infrastructure.sources.tree.directory_writer import DirectoryWriter
from infrastructure.sources.tree.entry_names import (
    MACOS_METADATA,
    MAX_PATH_BYTES,
    display_path,
    find_excluded_directory,
    invalid_name_reason,
    is_apple_double,
    is_python_or_manifest,
)
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout
from infrastructure.sources.tree.limits import KIB, MIB, SourceLimits
from infrastructure.sources.tree.notes import SourceNotes
from infrastructure.sources.tree.placeholders import LinkKind, Placeholders

MAX_TOTAL_PATH_CHARACTERS = 16_000_000
"""Total length of the displayed paths of a tree. It is limited because a run repeats each path several times."""


class TreeWriter:
    """Writer of a tree's Python files and manifests, which enforces the limits and records the skipped files.

    Call `accept` before reading a file, and `write` only for accepted files. Names of other entries that an import may
    mean are kept as placeholders: see `Placeholders`. A file that cannot be written is skipped
    with a reason. A tree that exceeds a limit as a whole raises InvalidInputError.
    """

    def __init__(
        self, layout: SourceLayout, limits: SourceLimits, *, archive: bool = False, selection: Selection = ALL
    ) -> None:
        """Make the directories. `archive` applies stricter rules to names, see `invalid_name_reason`.

        Python files that `selection` does not choose are passed over.
        """
        layout.tree.mkdir()
        layout.manifests.mkdir()
        self._limits = limits
        self._archive = archive
        self._selection = selection
        self._not_selected = 0
        self._tree = DirectoryWriter(layout.tree)
        self._manifests = DirectoryWriter(layout.manifests)
        self._placeholders = Placeholders(limits.max_tree_files)
        self._included: set[bytes] = set()
        self._taken: set[bytes] = set()
        self._displayed_paths: dict[str, str] = {}
        """Displayed paths by their composed form: some systems decompose names, which are shown alike."""
        self._excluded_directories: set[bytes] = set()
        self._skipped: list[SkippedFile] = []
        self._skipped_total = 0
        self._listed_entries = 0
        self._accepted_files = 0
        self._accepted_bytes = 0
        self._path_characters = 0
        self._python_files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tree.close()
        self._manifests.close()

    def skip(self, path: bytes, reason: str) -> None:
        """Record that `path` was left out."""
        self._skipped_total += 1
        if len(self._skipped) < SKIPPED_LIMIT:
            shown = display_path(path)
            shown = shown if len(shown) <= MAX_PATH_BYTES else shown[: MAX_PATH_BYTES - 1] + "…"
            self._skipped.append(SkippedFile(path=shown, reason=reason))

    def add_notes(self, notes: SourceNotes) -> None:
        """Add what was skipped, and the names that were kept, when the directory was packed that is unpacked here."""
        self._skipped_total += notes.skipped_total
        self._skipped += notes.skipped[: SKIPPED_LIMIT - len(self._skipped)]
        for name in notes.placeholders:
            path = name.encode("utf-8", "replace")
            if path.endswith(b"/"):
                self.pass_over_directory(path[:-1])
            else:
                self.pass_over(path)

    def is_excluded(self, path: bytes) -> bool:
        """Whether `path` is inside an excluded directory; each such directory is recorded as skipped once."""
        directory = find_excluded_directory(path)
        if directory is None:
            return False
        if directory not in self._excluded_directories:
            self._excluded_directories.add(directory)
            self.skip(directory, "excluded directory")
        return True

    def is_macos_metadata(self, path: bytes) -> bool:
        """Whether `path` is inside the folder that macOS adds to archives, which is recorded as skipped once."""
        top = path.partition(b"/")[0]
        if top != MACOS_METADATA:
            return False
        if top not in self._excluded_directories:
            self._excluded_directories.add(top)
            self.skip(top, "metadata of macOS")
        return True

    def count_entry(self) -> None:
        """Count one entry of any kind. Raises InvalidInputError if there are more than `max_listed_entries`."""
        self._listed_entries += 1
        if self._listed_entries > self._limits.max_listed_entries:
            raise InvalidInputError(
                f"the tree has more than {self._limits.max_listed_entries} entries (20 times MAX_TREE_FILES)"
            )

    def accept(self, path: bytes, size: int) -> bool:
        """Decide whether a regular file of `size` bytes is to be read and written, and count it if so.

        Raises InvalidInputError if the tree exceeds a limit.
        """
        if self.is_excluded(path):
            return False
        if not is_python_or_manifest(path):
            self.pass_over(path)
            return False
        if path.endswith(b".py") and not self._selection.selects(display_path(path)):
            self._not_selected += 1
            self._placeholders.add_file(path)
            return False
        return self._accept(path, size)

    def accept_included(self, path: bytes, size: int) -> bool:
        """Decide the same about a file that a manifest includes, whatever its name."""
        return not self.is_excluded(path) and self._accept(path, size)

    def pass_over(self, path: bytes) -> None:
        """Take note of the name of a file that is neither Python nor a manifest: an import may mean it."""
        if not self.is_excluded(path):
            self._placeholders.add_file(path)

    def pass_over_directory(self, path: bytes) -> None:
        """Take note of the name of a directory, which may hold no Python file."""
        self._placeholders.add_directory(path)

    def pass_over_link(self, path: bytes, target: bytes | None, kind: LinkKind = LinkKind.UNKNOWN) -> None:
        """Take note of the name of a symbolic link.

        `target` is what the link contains, where known. `kind` is what it leads to; if it is not known, the name counts
        only if the link leads to an entry of the tree.
        """
        self._placeholders.add_link(path, target, kind)

    def _accept(self, path: bytes, size: int) -> bool:
        shown = display_path(path)
        reason = (
            invalid_name_reason(path, archive=self._archive)
            or self._oversize_reason(path, size)
            or self._ambiguous_name_reason(shown)
        )
        if reason is not None:
            self.skip(path, reason)
            if invalid_name_reason(path, archive=self._archive) is None:
                self._placeholders.add_file(path)
            return False
        self._count_accepted(size, len(shown))
        return True

    def _oversize_reason(self, path: bytes, size: int) -> str | None:
        limit = self.size_limit(path)
        return f"larger than {limit // KIB} KB" if size > limit else None

    def size_limit(self, path: bytes) -> int:
        """Return the limit in bytes for the file of this name."""
        return self._limits.max_file_bytes if path.endswith(b".py") else MAX_MANIFEST_BYTES

    def _ambiguous_name_reason(self, shown: str) -> str | None:
        if len(shown) > MAX_PATH_BYTES:  # an escape has up to four times the characters of its byte
            return "name too long"
        # Later steps identify files by the displayed path, so two files with the same one would be counted as one.
        first = self._displayed_paths.setdefault(unicodedata.normalize("NFC", shown), shown)
        if first is not shown:
            return "another file has " + ("the same name" if first == shown else "a name that looks the same")
        return None

    def _count_accepted(self, size: int, path_length: int) -> None:
        self._accepted_files += 1
        self._accepted_bytes += size
        self._path_characters += path_length
        if self._path_characters > MAX_TOTAL_PATH_CHARACTERS:
            raise InvalidInputError(
                f"the tree's file names have more than {MAX_TOTAL_PATH_CHARACTERS // 10**6} million characters in total"
            )
        if self._accepted_files > self._limits.max_tree_files:
            raise InvalidInputError(
                f"the source has more than {self._limits.max_tree_files} Python files (MAX_TREE_FILES)"
            )
        if self._accepted_bytes > self._limits.max_clone_bytes:
            raise InvalidInputError(
                f"the source has more than {self._limits.max_clone_bytes // MIB} MB of Python files (MAX_CLONE_MB)"
            )

    def write(self, path: bytes, data: bytes, *, executable: bool = False) -> None:
        """Write an accepted file; skip it if a file or directory of that name exists already."""
        is_python = path.endswith(b".py")
        if is_apple_double(path, data):
            self.skip(path, "metadata of macOS (AppleDouble)")
            return
        root = self._tree if is_python else self._manifests
        try:
            root.write(path, data, executable=executable)
        except (FileExistsError, NotADirectoryError):
            self.skip(path, "a file and a directory have the same name")
            return
        self._python_files += is_python
        if is_python:
            self._placeholders.add_copied(path)
        elif len(self._included) < MAX_INCLUDED_FILES:
            names = included_paths(os.fsdecode(path), data.decode("utf-8", "replace"))
            self._included.update(name for name in map(os.fsencode, names) if not is_python_or_manifest(name))

    def take_included(self) -> list[bytes]:
        """Return the further files that the manifests written since the last call include, sorted, without duplicates.

        The caller writes those that exist, after `accept_included`. There may be many only if the tree is hostile.
        """
        found = sorted(self._included - self._taken)[: max(0, MAX_INCLUDED_FILES - len(self._taken))]
        self._taken.update(found)
        return found

    def finish(self, what: str, history: FetchedHistory | None) -> FetchedSource:
        """Return the result. Raises InvalidInputError if no Python file was written; `what` names the source in it."""
        if not self._python_files:
            raise InvalidInputError(f"the {what} has no Python file to analyse{self._skipped_summary()}")
        self._placeholders.write(self._tree)
        return FetchedSource(
            has_history=history is not None,
            shallow=history.shallow if history else False,
            commit_sha=history.commit_sha if history else None,
            branch=history.branch if history else None,
            skipped=tuple(self._skipped),
            skipped_total=self._skipped_total,
            not_selected=self._not_selected,
        )

    def _skipped_summary(self) -> str:
        if self._not_selected:
            return f": include and exclude leave out {self._not_selected} of its files; change the globs"
        if not self._skipped:
            return ""
        first = self._skipped[0]
        return f" ({self._skipped_total} left out, the first: {one_line(first.path, 200)}: {first.reason})"
