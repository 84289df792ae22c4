"""`churn`: how many lines of Python were ever added and deleted, as `git log --numstat` tells it."""

import os
import re
import subprocess
from collections.abc import Sequence
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.history.commit_tally import pack_tally, tally_commits, unpack_tally
from collectors.source.source_tree import SourceTree
from domain.metrics.report import Report
from domain.metrics.scoring import churn_score


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

    def collect_tree(self, tree: SourceTree) -> Facts:
        """Commits, lines in all and by display path, and whether the history is shallow; None without history.

        Raises PermanentError where git cannot read the history.
        """
        return self.collect_incremental(tree, ())[0]

    def collect_incremental(self, tree: SourceTree, remembered: Sequence[bytes]) -> tuple[Facts, bytes | None]:
        """The same, walking only over commits that nothing is remembered of; and what to remember of all of them.

        The latter is None where there is nothing new, or nothing that could be added to. A shallow history is walked
        as a whole: what its oldest commit seems to add depends on where it was cut off.
        """
        history = tree.history
        if history is None:
            return None, None
        shallow = history.is_shallow()
        found = () if shallow else [unpack_tally(packed, history, self.version) for packed in remembered]
        known = [tally for tally in found if tally is not None]
        display = {os.fsdecode(entry.raw_path): entry.path for entry in tree.entries}
        tally = tally_commits(history, frozenset(display), known)
        lines = {path: tally.lines_by_path.get(name, 0) for name, path in display.items()}
        facts = {"commits": tally.commits, "total": tally.total_lines, "lines": lines, "shallow": shallow}
        return facts, None if tally in known else pack_tally(tally, history, self.version)

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


COLLECTOR = Churn()
