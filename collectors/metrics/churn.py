"""`churn`: lines of Python that the commits of the history added and deleted, by `git log --numstat`."""

import os
import re
import subprocess
from collections.abc import Sequence
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.history.commit_tally import CommitTally, tally_commits
from collectors.history.history_facts import facts_of
from collectors.history.packed_tally import pack_tally, unpack_tally
from collectors.source.source_tree import SourceTree
from domain.errors import PermanentError
from domain.history.document import NO_HISTORY, PARTIAL, SHALLOW, TOO_LONG
from domain.history.facts import HistoryFacts
from domain.metrics.declaration import (
    AggregateField,
    Column,
    FileField,
    FileMetric,
    MetricDeclaration,
    RatedNumber,
    RowFormat,
)
from domain.metrics.report import Report
from domain.metrics.scoring import churn_score
from domain.metrics.severity import Rising
from domain.selection import Selection
from domain.text import printable_name


def _git_version() -> str:
    """Return the version that `git version` prints, without a distribution's suffix."""
    try:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        printed = subprocess.run(["git", "version"], env=environment, capture_output=True, check=False)  # nosec B607 # noqa: S607 - this machine's own git
    except OSError:
        return "not installed"
    number = re.search(rb"(?<!\d)\d++(\.\d++)+", printed.stdout)
    return number.group().decode() if number else "unknown"


METRIC = MetricDeclaration(
    name="churn",
    tool="git",
    homepage="https://git-scm.com",
    version=_git_version(),
    pinned=False,
    aggregate=(
        AggregateField(
            key="total_commits",
            meaning="Commits, as `git rev-list --count --no-merges HEAD` counts them, whatever files they touch.",
        ),
        AggregateField(
            key="totalChurn", meaning="Lines added and deleted by all of them, in files that were deleted later too."
        ),
        AggregateField(
            key="churn_score", meaning="max(0, 100 - totalChurn / 10): 0..100, higher is better.", json_type="number"
        ),
    ),
    file_metric=FileMetric(
        key="churn",
        fields=(FileField(key="count", number="lines", meaning="Lines added and deleted in this file."),),
        rated=RatedNumber(number="lines", meaning="Lines added and deleted over the whole history."),
        thresholds=Rising(99, 500),
        health_input="churn",
        column=Column(heading="churn", of=("count",)),
        position=80,
    ),
    row=RowFormat(
        text="{total_commits} commits, {totalChurn} lines changed",
        score="churn_score",
        position=100,
        absent="no history",
    ),
)


class Churn:
    """Lines added and deleted over the history.

    Equals `git log --numstat --no-merges --no-renames` of a bare clone. The paths are filtered afterwards: `.py` files
    outside the directories that no collector looks into.

    Every commit that HEAD reaches counts, also one on a side branch whose work was reverted. Attributes and replace
    refs are ignored. Binary files have no lines. A renamed file counts as one deleted and one added file. Where globs
    choose files, only the lines of paths that they choose are counted; commits are those of the whole history.

    Without git history all three numbers are null, which is not a failure. In a partial clone only the commits can be
    counted, which is a gap. A shallow history is a gap: the commit at
    its boundary seems to have added every file that existed by then.
    """

    metric: ClassVar[MetricDeclaration] = METRIC

    def collect_tree(self, tree: SourceTree) -> Facts:
        """Return `{commits, total, lines: {path: lines}, shallow, history}`; None without history.

        `history` holds the facts that the same pass yields (`HistoryFacts.to_plain`), or says why there are none.
        Raises PermanentError where git cannot read the history.
        """
        return self.collect_incremental(tree, ())[0]

    def collect_incremental(self, tree: SourceTree, states: Sequence[bytes | memoryview]) -> tuple[Facts, bytes | None]:
        """Return the same facts, walking only the commits that no state covers; and the state of all of them.

        A shallow history is walked as a whole: what its oldest commit seems to add depends on where it was cut off.
        """
        history = tree.history
        if history is None:
            return None, None
        shallow = history.is_shallow()
        unpacked = () if shallow else [unpack_tally(state, history, METRIC.version) for state in states]
        known = [tally for tally in unpacked if tally is not None]
        display_paths = {os.fsdecode(entry.raw_path): entry.path for entry in tree.entries}
        try:
            tally = tally_commits(history, frozenset(display_paths), known)
        except PermanentError:
            if not history.is_partial():
                raise
            commits = len(history.list_commits())
            return {"commits": commits, "total": None, "lines": {}, "shallow": shallow, "history": PARTIAL}, None
        state = None if tally in known else pack_tally(tally, history, METRIC.version)
        found = None if shallow else facts_of(tally, display_paths, remembered=tally in known or state is not None)
        facts = {
            "commits": tally.commits,
            "total": _total(tally, tree.selection),
            "lines": {path: tally.lines_of(name) for name, path in display_paths.items()},
            "shallow": shallow,
            "history": SHALLOW if shallow else TOO_LONG if found is None else found.to_plain(),
        }
        return facts, state

    def summarize(self, facts: Facts, totals: Totals) -> Report:
        """Report the three numbers, and `lines` of each file."""
        if facts is None:
            return Report(aggregate=METRIC.without_value(), history=NO_HISTORY)
        history = facts["history"]
        if facts["total"] is None:
            gap = "churn: lines not counted: partial clone: fetch its blobs (git fetch --refetch --no-filter)"
            aggregate = {**METRIC.without_value(), "total_commits": facts["commits"]}
            return Report(aggregate=aggregate, gaps=[gap], history=history)
        aggregate = {
            "total_commits": facts["commits"],
            "totalChurn": facts["total"],
            "churn_score": churn_score(facts["total"]),
        }
        gaps = ["history is shallow: its oldest commit counts every file as added"] if facts["shallow"] else []
        per_file = {path: {"lines": facts["lines"].get(path, 0)} for path in totals.files}
        found = history if isinstance(history, str) else HistoryFacts.from_plain(history)
        return Report(aggregate=aggregate, per_file=per_file, gaps=gaps, history=found)


def _total(tally: CommitTally, selection: Selection) -> int:
    """Return the lines of the selected paths, also of those that were deleted."""
    if not selection.chooses_files:
        return tally.total_lines
    # Paths beyond a limit are counted together: they stay out, since nobody knows which of them are selected.
    return sum(
        lines for path, lines in zip(tally.paths, tally.churn, strict=True) if selection.selects(printable_name(path))
    )


COLLECTOR = Churn()
