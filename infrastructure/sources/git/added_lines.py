"""Lines that were added since earlier commits: counted in the child, and checked by the worker."""

from collections import Counter
from collections.abc import Mapping, Sequence

from domain.errors import Vibe8Error
from domain.findings.baseline import LIKELY_COMMITS
from domain.findings.roles import Role
from domain.text import JSON
from infrastructure.sources.git.history import GitHistory

ADDED_SINCE = "added_since"
"""Key of a request, with the commits to count from."""

ADDED_LINES = "added_lines"
"""Key of a child's result: `{commit: {role: lines}}`, without the commits from which nothing can be counted."""

_MAX_LINES = 10**9


def count_added_lines(history: GitHistory, since: Sequence[str], roles: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return the lines that were added since each commit, by the role of their files. `roles` maps paths to roles.

    A commit that is not there, or whose files are not (a partial clone), is left out. Files that the analysis left out
    count for no role.
    """
    counted: dict[str, dict[str, int]] = {}
    for commit in since[:LIKELY_COMMITS]:
        try:
            added = history.added_lines(commit)
        except Vibe8Error:
            continue
        if added is not None:
            lines: Counter[str] = Counter()
            for path, number in added.items():
                if path in roles:
                    lines[roles[path]] += number
            counted[commit] = dict(lines)
    return counted


def read_added_lines(value: JSON, since: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return what a child counted, with nothing but known commits, roles and sizes: it may have been taken over."""
    if not isinstance(value, dict):
        return {}
    return {
        commit: {
            str(role): lines
            for role in Role
            if type(lines := of_commit.get(str(role))) is int and 0 <= lines <= _MAX_LINES
        }
        for commit in since
        if isinstance(of_commit := value.get(commit), dict)
    }
