"""Commits as the analyses of a history see them, and which commits they leave out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_FILES = 1_000
"""Commits that change more Python files are left out of every analysis: imports and mass reformatting."""

MAX_COUPLED_FILES = 30
"""Commits that change more Python files are left out of coupling."""

LATEST_DATE = 1 << 40
"""Seconds since 1970, some 34,000 years; a later date is cut to it."""


@dataclass(frozen=True, slots=True)
class CommitList:
    """Non-merge commits, newest first, and the number of merges that were left out.

    `lines` holds the full ids, one a line. Strings would take three times as much memory.
    """

    lines: bytes
    merges: int

    def __len__(self) -> int:
        return self.lines.count(b"\n")

    def ids(self) -> list[str]:
        """Return the ids."""
        return self.lines.decode("ascii").splitlines()


class LoggedCommit(NamedTuple):
    """A commit as the history lists it, with the Python files that it changed.

    `at` is the committer's date in seconds since 1970. `name` and `email` are the author's, as they were written;
    `co_authors` are names and addresses of the lines `Co-authored-by: NAME <ADDRESS>`. `changes` are path, lines added,
    lines deleted, and whether the commit created the file. `renames` are old and new paths of files that moved
    unchanged; both paths are among the changes.
    """

    at: int
    name: str
    email: str
    co_authors: Sequence[tuple[str, str]] = ()
    changes: Sequence[tuple[str, int, int, bool]] = ()
    renames: Sequence[tuple[str, str]] = ()


class Changes(NamedTuple):
    """Changes of files that exist at HEAD, by commits that count: five columns with one item a change.

    Commits count that are no merge, not by a bot, and change at most `MAX_FILES` files. A commit has at most one change
    of a file; files that it only renamed have none. `paths` are those at HEAD. `people` are indexes of authors, `at`
    the committers' dates in seconds since 1970, `added` lines. `created` says whether the commit created the file.
    """

    paths: Sequence[str]
    people: Sequence[int]
    at: Sequence[int]
    added: Sequence[int]
    created: Sequence[bool]
