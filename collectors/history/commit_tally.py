"""How many lines the commits of a history changed, path by path, in a form that further commits can be added to.

What HEAD reaches are the commits that an ancestor of it reaches, and those in between. So a tally of the ancestor
and a walk over the commits in between are together exactly a walk over all of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from domain.ports import History
from domain.sources import EXCLUDED_DIRECTORIES

FORMAT = 1
PATHS_LIMIT = 200_000
"""Of how many paths, deleted ones included, lines are told apart; a tally of more is not remembered."""

TALLY_BYTES_LIMIT = 2 << 20
"""A larger tally is not remembered either."""

_LARGEST = 1 << 53


@dataclass(slots=True, kw_only=True)
class CommitTally:
    """Of the commits that `head` reaches: how many there are, and the lines added and deleted by path.

    Only Python files of the one file set are in it. `other_lines` are the lines of paths that there was no room for.
    """

    head: str
    commits: int = 0
    lines_by_path: dict[str, int] = field(default_factory=dict)
    other_lines: int = 0

    @property
    def total_lines(self) -> int:
        """All lines."""
        return sum(self.lines_by_path.values()) + self.other_lines

    def add(self, changes: Iterable[tuple[str, int, int]], present: frozenset[str]) -> None:
        """Add up (path, added, deleted); `present` are the paths of the tree, for which there is always room."""
        lines = self.lines_by_path
        for path, added, deleted in changes:
            if path in lines:
                lines[path] += added + deleted
            elif path in present or (len(lines) < PATHS_LIMIT and _counts(path)):
                lines[path] = added + deleted
            elif _counts(path):
                self.other_lines += added + deleted


def _counts(path: str) -> bool:
    return path.endswith(".py") and EXCLUDED_DIRECTORIES.isdisjoint(path.split("/")[:-1])


def tally_commits(history: History, present: frozenset[str], known: Sequence[CommitTally] = ()) -> CommitTally:
    """Every commit, or those alone that are in none of the known tallies. Raises PermanentError where git fails."""
    head = history.head()
    by_head = {tally.head: tally for tally in known}
    for start in sorted(by_head.values(), key=lambda tally: -tally.commits):  # the nearest of all ancestors first
        if start.head == head:
            return start
        if history.is_ancestor(start.head):
            tally = CommitTally(head=head, commits=start.commits, lines_by_path=dict(start.lines_by_path))
            tally.commits += history.commit_count(since=start.head)
            tally.add(history.numstat(since=start.head), present)
            return tally
    tally = CommitTally(head=head, commits=history.commit_count())
    tally.add(history.numstat(), present)
    return tally


def pack_tally(tally: CommitTally, history: History, git: str) -> bytes | None:
    """What to remember of it; None where it cannot be added to later."""
    if tally.other_lines or history.is_shallow():
        return None
    entry = [FORMAT, git, history.path_scope(), tally.head, tally.commits, dict(sorted(tally.lines_by_path.items()))]
    packed: bytes = msgpack.packb(entry, use_bin_type=True, unicode_errors="surrogatepass")
    return packed if len(packed) <= TALLY_BYTES_LIMIT else None


def unpack_tally(packed: bytes, history: History, git: str) -> CommitTally | None:
    """The inverse; None for what is no tally of this format by this git, with paths as this history has them."""
    try:
        entry: Any = msgpack.unpackb(packed, raw=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    if not isinstance(entry, list) or len(entry) != 6 or entry[:3] != [FORMAT, git, history.path_scope()]:
        return None
    head, commits, lines = entry[3:]
    if not isinstance(head, str) or not isinstance(lines, dict) or not _are_counts([commits, *lines.values()]):
        return None
    if not all(isinstance(path, str) and _counts(path) for path in lines):
        return None
    return CommitTally(head=head, commits=commits, lines_by_path=lines)


def _are_counts(values: Sequence[Any]) -> bool:
    # Their sum as well: a number that msgpack cannot carry would end the lane that answers with it.
    return set(map(type, values)) == {int} and min(values) >= 0 and sum(values) < _LARGEST
