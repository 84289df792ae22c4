"""States of the findings of a run in comparison with a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from domain.findings.identity import IdentityKind
from domain.findings.matching import Item, Matcher, Pair, Pass
from domain.findings.measured_run import MeasuredRun
from domain.findings.severity import SYNTAX_ERROR
from domain.findings.traits import MetricTraits


class FindingState(StrEnum):
    """What became of a finding, by precedence."""

    NOT_MEASURED = "not_measured"
    """One of the runs could not know of it."""
    TOOL_CHANGED = "tool_changed"
    """Another version of the tool says something else of the same bytes."""
    UPDATED = "updated"
    """Its value, or what it is about, changed."""
    MOVED = "moved"
    """It stands in another file."""
    UNCHANGED = "unchanged"
    NEW = "new"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFindings:
    """The states of the findings of both runs, in the order of their lists, and the pairs that are the same finding.

    `renames` maps removed files to their new paths.
    """

    before: Sequence[FindingState]
    after: Sequence[FindingState]
    pairs: Sequence[Pair]
    renames: Mapping[str, str]


def compare_findings(before: MeasuredRun, after: MeasuredRun) -> ComparedFindings:
    """Return the state of every finding of both runs.

    On the current side all states but `fixed` occur; on the baseline's side all but `new`.
    """
    return _Comparison(before, after).compare()


class _Comparison:
    """One comparison. A side is 0 for the baseline, 1 for the current run."""

    def __init__(self, before: MeasuredRun, after: MeasuredRun) -> None:
        self._runs = (before, after)
        self._traits = after.traits
        both = before.traits.keys() & after.traits.keys()
        self._metrics = {name for name in both if before.measures(name) and after.measures(name)}
        self._measured: dict[tuple[int, str, str, bool], bool] = {}
        self._lost: dict[tuple[int, str], bool] = {}
        self._differing = {name for name in self._metrics if self._differing_versions(name, self._traits[name])}

    def compare(self) -> ComparedFindings:
        states: tuple[dict[int, FindingState], dict[int, FindingState]] = ({}, {})
        positions = tuple(
            [index for index, item in enumerate(run.items) if self._is_measured(1 - side, item)]
            for side, run in enumerate(self._runs)
        )
        matcher = self._matcher(positions)
        pairs = [
            Pair(positions[0][pair.before], positions[1][pair.after], pair.matched_by)
            for pair in matcher.match(*map(self._only_in, (0, 1)))
        ]
        for pair in pairs:
            states[0][pair.before] = states[1][pair.after] = self._state_of_pair(pair)
        for side, known in enumerate(states):
            for index in positions[side]:
                if index not in known:
                    known[index] = self._state_of_rest(side, self._runs[side].items[index])
        found = [
            [known.get(index, FindingState.NOT_MEASURED) for index in range(len(run.items))]
            for run, known in zip(self._runs, states, strict=True)
        ]
        return ComparedFindings(before=found[0], after=found[1], pairs=pairs, renames=matcher.renames)

    def _matcher(self, positions: Sequence[Sequence[int]]) -> Matcher:
        items = [[run.items[index] for index in of_run] for run, of_run in zip(self._runs, positions, strict=True)]
        identities = {name: each.identity for name, each in self._traits.items()}
        return Matcher(items[0], items[1], identities)

    def _only_in(self, side: int) -> Mapping[str, str | None]:
        """Return the files that only this run has though the other would have measured them, with their digests."""
        other = self._runs[1 - side]
        alone = self._runs[side].digests.items()
        return {path: digest for path, digest in alone if path not in other.digests and other.selection.selects(path)}

    def _is_measured(self, side: int, item: Item) -> bool:
        """Return whether the run of that side would know of the other run's finding."""
        metric, path = item["metric"], item["path"]
        if metric not in self._metrics:
            return False
        rule = item["rule"]
        key = (side, metric, path, rule == SYNTAX_ERROR)
        if key not in self._measured:
            self._measured[key] = self._runs[side].measures_file(path, self._traits[metric], rule)
        return self._measured[key]

    def _state_of_pair(self, pair: Pair) -> FindingState:
        before, after = self._runs[0].items[pair.before], self._runs[1].items[pair.after]
        value_changed = (
            self._traits[after["metric"]].identity.rule_family is not None and before["message"] != after["message"]
        )
        if pair.matched_by is Pass.SAME_MESSAGE or value_changed:
            return FindingState.TOOL_CHANGED if self._tool_changed(1, after) else FindingState.UPDATED
        return FindingState.MOVED if pair.matched_by is Pass.OTHER_FILE else FindingState.UNCHANGED

    def _state_of_rest(self, side: int, item: Item) -> FindingState:
        metric, rule = item["metric"], item["rule"]
        if self._runs[1 - side].is_cut(metric, item["severity"]):
            return FindingState.NOT_MEASURED
        reads_tree = rule in self._traits[metric].identity.tree_rules
        if reads_tree and self._may_depend_on_unmeasured(side, metric):
            return FindingState.NOT_MEASURED
        if self._tool_changed(side, item):
            return FindingState.TOOL_CHANGED
        return FindingState.NEW if side else FindingState.FIXED

    def _may_depend_on_unmeasured(self, side: int, metric: str) -> bool:
        """Return whether the difference may be due to another file, which only one of the runs could measure.

        Dead code is new when the file that used it is not measured any more, and fixed when it is measured again. For
        any other metric a place in such a file may have come or gone.
        """
        if self._traits[metric].identity.kind is IdentityKind.KIND_AND_NAME:
            return self._has_lost_files(side, metric)
        return self._has_lost_files(0, metric) or self._has_lost_files(1, metric)

    def _has_lost_files(self, side: int, metric: str) -> bool:
        """Return whether this run could not measure a file that the other one measured."""
        if (side, metric) not in self._lost:
            run, other, traits = self._runs[side], self._runs[1 - side], self._traits[metric]
            self._lost[side, metric] = any(
                other.measures_file(path, traits) and not run.measures_file(path, traits) for path in other.nodes
            )
        return self._lost[side, metric]

    def _tool_changed(self, side: int, item: Item) -> bool:
        """Return whether tool or Python differ, and what the rule reads does not."""
        traits = self._traits[item["metric"]]
        if item["metric"] not in self._differing:
            return False
        mine, other = self._runs[side].digests, self._runs[1 - side].digests
        if item["rule"] in traits.identity.tree_rules:
            return self._same_files
        digest = mine.get(item["path"])
        return digest is not None and digest == other.get(item["path"])

    @cached_property
    def _same_files(self) -> bool:
        return self._runs[0].digests == self._runs[1].digests

    def _differing_versions(self, metric: str, traits: MetricTraits) -> bool:
        before, after = (run.tool_versions for run in self._runs)
        return (
            any(before.get(tool) != after.get(tool) for tool in (traits.tool, "python"))
            or self._runs[0].traits[metric].identity.revision != traits.identity.revision
        )
