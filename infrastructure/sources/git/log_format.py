"""The output of `git log` that a history is read from: its format and its parser."""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from operator import length_hint
from typing import IO

from domain.history.commits import LATEST_DATE, LoggedCommit

_MARK = b"\x01"
LOG_FORMAT = ("--raw", "--no-abbrev", "--numstat", "-z", "--format=%x01%ct%x00%an%x00%ae%x00%b")
"""Options of `git log`. Every record ends with NUL.

A commit is four records: the mark and its date, author's name, author's address as written, and the message's body. For
each file two records follow, its modes, blobs and status, and its path; then for each file one with its lines. Blobs
have their full ids, since git would have to look up whether a shorter one is unique.
"""

_RECORD_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_CO_AUTHOR = re.compile(rb"^Co-authored-by:[ \t]*+([^\n<]*+)<([^<>\n]*+)>", re.IGNORECASE | re.MULTILINE)

ToTreePath = Callable[[bytes], bytes | None]


def parse_date(text: str | bytes) -> int:
    """Return seconds since 1970. A commit without a valid date is one of 1970, as git shows it."""
    return min(int(text), LATEST_DATE) if text.isdigit() else 0


def parse_log(records: Iterator[bytes], to_tree_path: ToTreePath) -> Iterator[LoggedCommit]:
    """Yield the commits of a log of `LOG_FORMAT` that changed a file that `to_tree_path` knows.

    Raises ValueError for other output.
    """
    paths = _Paths(to_tree_path)
    commit: _CommitRecords | None = None
    for record in records:
        if record.startswith(_MARK):
            if commit is not None and commit.changes:
                yield commit.logged()
            commit = _CommitRecords(record[1:], next(records, b""), next(records, b""), next(records, b""))
        elif commit is None:
            raise ValueError("a record before the first commit")
        elif record.startswith((b":", b"\n:")):  # a line feed separates the message from the files
            commit.add_status(record, paths.decode(next(records, b"")))
        else:
            added, deleted, path = record.split(b"\t", 2)
            if added != b"-":  # not a binary file
                commit.add_lines(paths.decode(path), int(added), int(deleted))
    if commit is not None and commit.changes:
        yield commit.logged()


def added_lines(records: Iterator[bytes], to_tree_path: ToTreePath) -> Iterator[tuple[str, int]]:
    """Yield (path, added lines) of `git diff --numstat -z`, whose records end with NUL. Binary files are left out.

    A record of a renamed file has an empty path; its old and its new path follow. Raises ValueError for other output.
    """
    for record in records:
        added, _, path = record.split(b"\t", 2)
        if not path:
            next(records, b"")
            path = next(records, b"")
        in_tree = to_tree_path(path)
        if added != b"-" and in_tree is not None:
            yield os.fsdecode(in_tree), int(added)


class _Paths:
    """Paths of the tree, each decoded once."""

    def __init__(self, to_tree_path: ToTreePath) -> None:
        self._to_tree_path = to_tree_path
        self._decoded: dict[bytes, str | None] = {}

    def decode(self, path: bytes) -> str | None:
        """Return the path in the tree; None if it lies outside."""
        try:
            return self._decoded[path]
        except KeyError:
            tree_path = self._to_tree_path(path)
            decoded = self._decoded[path] = None if tree_path is None else os.fsdecode(tree_path)
            return decoded


class _CommitRecords:
    """The records of one commit."""

    __slots__ = ("_added", "_at", "_body", "_created", "_deleted", "_email", "_name", "changes")

    def __init__(self, date: bytes, name: bytes, email: bytes, body: bytes) -> None:
        self._at = parse_date(date)
        self._name, self._email, self._body = name, email, body
        self._created: dict[str, bytes] = {}
        self._deleted: dict[str, bytes] = {}
        self.changes: list[tuple[str, int, int, bool]] = []

    def add_status(self, record: bytes, path: str | None) -> None:
        """Add what `--raw` says of a file: `:OLD_MODE NEW_MODE OLD_BLOB NEW_BLOB STATUS`."""
        if path is None or record.endswith(b"M"):
            return
        _, _, old, new, status = record.split(b" ")
        if status == b"A":
            self._created[path] = new
        elif status == b"D":
            self._deleted[path] = old

    def add_lines(self, path: str | None, added: int, deleted: int) -> None:
        """Add what `--numstat` says of a file."""
        if path is not None:
            self.changes.append((path, added, deleted, path in self._created))

    def logged(self) -> LoggedCommit:
        """Return the commit."""
        return LoggedCommit(
            at=self._at,
            name=_decode(self._name),
            email=_decode(self._email),
            co_authors=[
                (_decode(name.rstrip(b" \t")), _decode(email)) for name, email in _CO_AUTHOR.findall(self._body)
            ],
            changes=self.changes,
            renames=self._renames() if self._created and self._deleted else (),
        )

    def _renames(self) -> list[tuple[str, str]]:
        """Return the files that were removed and added with equal content; one of the same name is preferred.

        Empty files are left out: they are all equal.
        """
        with_lines = {path for path, added, _, created in self.changes if created and added}
        old_paths: dict[bytes, list[str]] = {}
        for path, blob in sorted(self._deleted.items()):
            old_paths.setdefault(blob, []).append(path)
        renames: list[tuple[str, str]] = []
        left: list[tuple[str, list[str]]] = []
        for new in sorted(with_lines):
            candidates = old_paths.get(self._created[new], [])
            name = new.rpartition("/")[2]
            same = next((old for old in candidates if old.rpartition("/")[2] == name), None)
            if same is not None:
                candidates.remove(same)
                renames.append((same, new))
            elif candidates:
                left.append((new, candidates))
        renames += [(candidates.pop(0), new) for new, candidates in left if candidates]
        return renames


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


class CutRecords:
    """Records of a stream, each of which ends with `separator`; long ones lose their middle.

    A long record is a commit message of more than 1 MiB, of which no more is kept in memory. A last record without its
    separator is dropped: git was interrupted, and its exit code says so.
    """

    def __init__(self, read: Callable[[], bytes], separator: bytes) -> None:
        """`read` returns the next part of the stream, and no bytes at its end."""
        self._read = read
        self._separator = separator
        self._current: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while chunk := self._read():
            *records, rest = (rest + chunk).split(self._separator)
            self._current = iter(records)
            yield from self._current
            rest = rest[:_RECORD_BYTES]

    def are_at_hand(self) -> bool:
        """Return whether the next record has been read already."""
        return length_hint(self._current) > 0


def cut_records(stream: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """Iterate over the `CutRecords` of a stream."""
    return iter(CutRecords(partial(stream.read, _CHUNK_BYTES), separator))
