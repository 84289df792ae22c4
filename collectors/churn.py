"""`churn`: how many lines of Python were ever added and deleted, as `git log --numstat` tells it."""

import os
import re
import subprocess
from typing import ClassVar

from collectors.base import Facts, Totals
from collectors.source_tree import SourceTree
from domain.metrics import Report
from domain.ports import History
from domain.scoring import churn_score
from domain.sources import EXCLUDED_DIRECTORIES


def _git_version() -> str:
    """What `git version` says, without a distribution's suffix."""
    try:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        said = subprocess.run(["git", "version"], env=environment, capture_output=True, check=False)  # nosec B607 # noqa: S607 - this machine's own git
    except OSError:
        return "not installed"
    number = re.search(rb"\d+(\.\d+)+", said.stdout)
    return number.group().decode() if number else "unknown"


class Churn:
    """Equal to `git log --numstat --no-merges --no-renames` of a bare clone, its paths filtered afterwards.

    Every commit that HEAD reaches counts, also on a side branch whose work was reverted; attributes and replace refs
    have no say; binary files have no lines. A renamed file is a deleted and an added one.

    Of the paths that git names, those of the one file set count: `.py` files outside the directories that no collector
    looks into. Files that have since been deleted count in `totalChurn` alone. `total_commits` is
    `git rev-list --count --no-merges HEAD`, whatever the commits touch.

    Without git history all three numbers are null, which is no failure; a shallow history is a gap, since the commit
    at its boundary seems to have added every file that existed by then.
    """

    name: ClassVar[str] = "churn"
    tool: ClassVar[str] = "git"
    version: ClassVar[str] = _git_version()
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("total_commits", "totalChurn", "churn_score")

    def collect(self, tree: SourceTree) -> Facts:
        """Commits, lines in all and by display path, and whether the history is shallow; None without history.

        Raises PermanentError where git cannot read the history.
        """
        if tree.history is None:
            return None
        total, lines = _count_lines(tree, tree.history)
        return {
            "commits": tree.history.commit_count(),
            "total": total,
            "lines": lines,
            "shallow": tree.history.is_shallow(),
        }

    def summarize(self, facts: Facts, totals: Totals) -> Report:
        """The three numbers, and `lines` (added + deleted) of each file of the tree."""
        if facts is None:
            return Report(aggregate=dict.fromkeys(self.fields))
        aggregate = {
            "total_commits": facts["commits"],
            "totalChurn": facts["total"],
            "churn_score": churn_score(facts["total"]),
        }
        gaps = ["history is shallow: its oldest commit counts every file as added"] if facts["shallow"] else []
        per_file = {path: {"lines": facts["lines"].get(path, 0)} for path in totals.files}
        return Report(aggregate=aggregate, per_file=per_file, gaps=gaps)


def _count_lines(tree: SourceTree, history: History) -> tuple[int, dict[str, int]]:
    """Lines of the whole file set, and of the files that still exist. Memory grows with the tree, not the history."""
    display = {str(entry.location.relative_to(tree.root)): entry.path for entry in tree.entries}
    lines = dict.fromkeys(display.values(), 0)
    total = 0
    for path, added, deleted in history.numstat():
        present = display.get(path)
        if present is not None:
            lines[present] += added + deleted
        elif not _counts(path):
            continue
        total += added + deleted
    return total, lines


def _counts(path: str) -> bool:
    return path.endswith(".py") and EXCLUDED_DIRECTORIES.isdisjoint(path.split("/")[:-1])


COLLECTOR = Churn()
