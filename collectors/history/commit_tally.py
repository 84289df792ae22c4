"""What the commits of a git history changed, in a form to which later commits can be added.

The commits reachable from HEAD are those reachable from one of its ancestors, and those in between. So the tally of an
ancestor plus a walk over the commits in between equals a walk over all commits. Nothing depends on the order in which
they are added.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from domain.errors import PermanentError
from domain.history.assistants import is_assistant, is_bot
from domain.history.commits import MAX_COUPLED_FILES, MAX_FILES, LoggedCommit
from domain.ports import History
from domain.sources import EXCLUDED_DIRECTORIES

PATHS_LIMIT = 200_000
"""Number of paths, deleted ones included, that a tally counts separately. A tally of more paths is not cached."""

CHANGES_LIMIT = 2_000_000
"""Number of commits and changed files that are kept one by one. Those of a longer history are not."""

BOT, LARGE, NOT_COUPLED, ASSISTED = 1, 2, 4, 8
"""Flags of a commit: by a bot; of more than `MAX_FILES` files; of too many for coupling; an AI assistant took part."""

_LARGEST_LINES = (1 << 32) - 1
_KEY_BYTES = 16


class Person(NamedTuple):
    """A name that an author used. `key` is a keyed hash of the address, equal for all names of one person."""

    key: bytes
    name: str


@dataclass(slots=True)
class CommitColumns:
    """Commits, one item a commit in the first five columns.

    `sizes` are the numbers of items that a commit has in `changed` and `lines`; those of bots and of more than
    `MAX_FILES` files have none. `added` is the number of lines that it added to all files. An item of `changed` is
    twice the index of a path, plus 1 if the commit created the file. `renames` are date, index of the old path and
    index of the new one, in turn.
    """

    at: array[int] = field(default_factory=partial(array, "q"))
    people: array[int] = field(default_factory=partial(array, "I"))
    flags: array[int] = field(default_factory=partial(array, "B"))
    added: array[int] = field(default_factory=partial(array, "I"))
    sizes: array[int] = field(default_factory=partial(array, "H"))
    changed: array[int] = field(default_factory=partial(array, "I"))
    lines: array[int] = field(default_factory=partial(array, "I"))
    renames: array[int] = field(default_factory=partial(array, "q"))

    def columns(self) -> list[array[int]]:
        """Return the columns in order."""
        return [getattr(self, name) for name in CommitColumns.__slots__]

    def copy(self) -> CommitColumns:
        """Return a copy to which commits can be added."""
        return CommitColumns(*(column[:] for column in self.columns()))


@dataclass(slots=True, kw_only=True)
class CommitTally:
    """The commits reachable from `head`, of the date `now`: their number, lines changed by path, and columns.

    Only Python files outside the excluded directories are counted. `churn` are lines added and deleted, in the order of
    `paths`; `other_churn` is their sum for paths beyond `PATHS_LIMIT`. Addresses are hashed with the digest of the
    commit `key_commit`. `columns` is None for a history beyond a limit.
    """

    head: str
    now: int
    key_commit: str
    commits: int = 0
    merges: int = 0
    paths: dict[str, int] = field(default_factory=dict)
    churn: list[int] = field(default_factory=list)
    other_churn: int = 0
    people: dict[Person, int] = field(default_factory=dict)
    columns: CommitColumns | None = field(default_factory=CommitColumns)

    @property
    def total_lines(self) -> int:
        """Lines added and deleted in all paths."""
        return sum(self.churn) + self.other_churn

    def lines_of(self, path: str) -> int:
        """Return the lines added and deleted in a path."""
        index = self.paths.get(path)
        return 0 if index is None else self.churn[index]

    def add(self, commits: Iterable[LoggedCommit], present: frozenset[str], key: bytes) -> None:
        """Add commits. Paths in `present`, those of the tree, have no limit."""
        hashes: dict[tuple[str, str], int] = {}
        for commit in commits:
            counted = [change for change in commit.changes if self._count(change, present)]
            if self.other_churn:
                self.columns = None
            if not counted or self.columns is None:
                continue
            author = (commit.name, commit.email)
            person = hashes.get(author)
            if person is None:
                person = hashes[author] = self._person(*author, key)
            self._add_columns(self.columns, commit, counted, person)
            if len(self.columns.changed) + len(self.columns.at) > CHANGES_LIMIT:
                self.columns = None

    def _count(self, change: tuple[str, int, int, bool], present: frozenset[str]) -> bool:
        """Add the lines of a change; return whether its path is counted."""
        path, added, deleted, _ = change
        index = self.paths.get(path)
        if index is not None:
            self.churn[index] += added + deleted
        elif path in present or (len(self.paths) < PATHS_LIMIT and is_counted(path)):
            self.paths[path] = len(self.churn)
            self.churn.append(added + deleted)
        elif is_counted(path):
            self.other_churn += added + deleted
        else:
            return False
        return True

    def _person(self, name: str, email: str, key: bytes) -> int:
        address = (email.strip().lower() or name).encode("utf-8", "surrogatepass")
        person = Person(blake2b(address, key=key, digest_size=_KEY_BYTES).digest(), _without_address(name))
        return self.people.setdefault(person, len(self.people))

    def _add_columns(
        self, columns: CommitColumns, commit: LoggedCommit, counted: Sequence[tuple[str, int, int, bool]], person: int
    ) -> None:
        moves = [(old, new) for old, new in commit.renames if old in self.paths and new in self.paths]
        moved = {path for move in moves for path in move}
        flags = _flags(commit, len(counted) - len(moves))
        changes = [change for change in counted if change[0] not in moved] if moved else counted
        kept = () if flags & (BOT | LARGE) else changes
        paths = self.paths
        columns.at.append(commit.at)
        columns.people.append(person)
        columns.flags.append(flags)
        columns.added.append(min(_LARGEST_LINES, sum([change[1] for change in changes])))
        columns.sizes.append(len(kept))
        columns.changed.extend([2 * paths[path] + created for path, _, _, created in kept])
        columns.lines.extend([min(_LARGEST_LINES, change[1]) for change in kept])
        for old, new in moves:
            columns.renames.extend((commit.at, paths[old], paths[new]))


def _flags(commit: LoggedCommit, files: int) -> int:
    people = [(commit.name, commit.email), *commit.co_authors]
    return (
        BOT * is_bot(commit.name, commit.email)
        | LARGE * (files > MAX_FILES)
        | NOT_COUPLED * (files > MAX_COUPLED_FILES)
        | ASSISTED * any(is_assistant(*person) for person in people)
    )


def _without_address(name: str) -> str:
    """Return the name; of one that is an address, what stands before the sign."""
    return name.partition("@")[0] if "@" in name else name


def is_counted(path: str) -> bool:
    """Return whether the path is that of a Python file outside the excluded directories."""
    return path.endswith(".py") and EXCLUDED_DIRECTORIES.isdisjoint(path.split("/")[:-1])


def tally_commits(history: History, present: frozenset[str], known: Sequence[CommitTally] = ()) -> CommitTally:
    """Tally every commit reachable from HEAD, starting from a known tally if one of an ancestor is there.

    Raises PermanentError where git fails.
    """
    head, now = history.head()
    by_head = {tally.head: tally for tally in known}
    # The tally with the most commits first: of several ancestors, it leaves the fewest commits to walk.
    for start in sorted(by_head.values(), key=lambda tally: -tally.commits):
        if start.head == head:
            return start
        key = _key(history, start.key_commit) if history.is_ancestor(start.head) else None
        if key is not None:
            return _continue(history, (head, now), present, start, key)
    listed = history.list_commits()
    tally = CommitTally(head=head, now=now, key_commit=head, commits=len(listed), merges=listed.merges)
    tally.add(history.log(listed), present, history.commit_digest(head))
    return tally


def _key(history: History, commit: str) -> bytes | None:
    """Return the key for addresses; None for a commit that the history does not have."""
    try:
        return history.commit_digest(commit)
    except PermanentError:
        return None


def _continue(
    history: History, head: tuple[str, int], present: frozenset[str], start: CommitTally, key: bytes
) -> CommitTally:
    listed = history.list_commits(since=start.head)
    tally = CommitTally(
        head=head[0],
        now=head[1],
        key_commit=start.key_commit,
        commits=start.commits + len(listed),
        merges=start.merges + listed.merges,
        paths=dict(start.paths),
        churn=list(start.churn),
        people=dict(start.people),
        columns=None if start.columns is None else start.columns.copy(),
    )
    tally.add(history.log(listed), present, key)
    return tally
