"""Lines changed per path by the commits of a git history, in a form to which later commits can be added.

The commits reachable from HEAD are those reachable from one of its ancestors, and those in between. So the tally of an
ancestor plus a walk over the commits in between equals a walk over all commits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from domain.ports import History
from domain.sources import EXCLUDED_DIRECTORIES

FORMAT = 1
PATHS_LIMIT = 200_000
"""Number of paths, deleted ones included, that a tally counts separately. A tally of more paths is not cached."""

TALLY_BYTES_LIMIT = 2 << 20
"""Size of a packed tally. A larger one is not cached either."""

_LARGEST_COUNT = 1 << 53


@dataclass(slots=True, kw_only=True)
class CommitTally:
    """The commits reachable from `head`: their number, and the lines that they added and deleted, by path.

    Only Python files outside the excluded directories are counted. `other_lines` is the sum for paths beyond
    `PATHS_LIMIT`.
    """

    head: str
    commits: int = 0
    lines_by_path: dict[str, int] = field(default_factory=dict)
    other_lines: int = 0

    @property
    def total_lines(self) -> int:
        """Lines added and deleted in all paths."""
        return sum(self.lines_by_path.values()) + self.other_lines

    def add(self, changes: Iterable[tuple[str, int, int]], present: frozenset[str]) -> None:
        """Add changes of the form (path, added, deleted). Paths in `present`, those of the tree, have no limit."""
        lines_by_path = self.lines_by_path
        for path, added, deleted in changes:
            if path in lines_by_path:
                lines_by_path[path] += added + deleted
            elif path in present or (len(lines_by_path) < PATHS_LIMIT and _is_counted(path)):
                lines_by_path[path] = added + deleted
            elif _is_counted(path):
                self.other_lines += added + deleted


def _is_counted(path: str) -> bool:
    return path.endswith(".py") and EXCLUDED_DIRECTORIES.isdisjoint(path.split("/")[:-1])


def tally_commits(history: History, present: frozenset[str], known: Sequence[CommitTally] = ()) -> CommitTally:
    """Tally every commit reachable from HEAD, starting from a known tally if one of an ancestor is there.

    Raises PermanentError where git fails.
    """
    head = history.head()
    by_head = {tally.head: tally for tally in known}
    # The tally with the most commits first: of several ancestors, it leaves the fewest commits to walk.
    for start in sorted(by_head.values(), key=lambda tally: -tally.commits):
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
    """Return the tally as bytes for the cache; None where later commits could not be added to it.

    `git` is git's version.
    """
    if tally.other_lines or history.is_shallow():
        return None
    entry = [FORMAT, git, history.path_scope(), tally.head, tally.commits, dict(sorted(tally.lines_by_path.items()))]
    packed: bytes = msgpack.packb(entry, use_bin_type=True, unicode_errors="surrogatepass")
    return packed if len(packed) <= TALLY_BYTES_LIMIT else None


def unpack_tally(packed: bytes, history: History, git: str) -> CommitTally | None:
    """Reverse `pack_tally`; None for invalid data, another format, another git, or another view of the history."""
    try:
        entry: Any = msgpack.unpackb(packed, raw=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    if not isinstance(entry, list) or len(entry) != 6 or entry[:3] != [FORMAT, git, history.path_scope()]:
        return None
    head, commits, lines_by_path = entry[3:]
    if not isinstance(head, str) or not isinstance(lines_by_path, dict):
        return None
    if not _are_counts([commits, *lines_by_path.values()]):
        return None
    if not all(isinstance(path, str) and _is_counted(path) for path in lines_by_path):
        return None
    return CommitTally(head=head, commits=commits, lines_by_path=lines_by_path)


def _are_counts(values: Sequence[Any]) -> bool:
    # The sum is checked too: msgpack cannot encode a larger one, and the pool process would fail to return it.
    return set(map(type, values)) == {int} and min(values) >= 0 and sum(values) < _LARGEST_COUNT
