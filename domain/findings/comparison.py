"""The comparison of a run with its baseline, as `analysis_runs.comparison` holds it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.findings.matching import Item
from domain.findings.measured_run import MeasuredRun
from domain.findings.severity import FindingSeverity
from domain.findings.states import ComparedFindings, FindingState, compare_findings
from domain.text import JSON

FIXED_LIMIT = 1_000
"""The most fixed findings that a comparison lists; their total is stated beside them."""

PATHS_LIMIT = 1_000
"""The most paths that a comparison lists of each kind; their total is stated beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison: its document, and the current run's findings with `state` and `first_seen_at`."""

    document: Mapping[str, JSON]
    items: Sequence[Item]


def compare_runs(before: MeasuredRun, after: MeasuredRun) -> Compared:
    """Compare a run with an earlier one."""
    found = compare_findings(before, after)
    return Compared(
        document={
            "counts": _counts(after, found.after),
            "baseline_counts": _counts(before, found.before),
            "metrics": _aggregates(before, after),
            "files": _files(before, after, found.renames),
            "fixed": _fixed(before, found.before),
            "tool_versions": _changed_versions(before, after),
            "selections": _differing_selections(before, after),
        },
        items=_with_states(before, after, found),
    )


def _with_states(before: MeasuredRun, after: MeasuredRun, found: ComparedFindings) -> list[Item]:
    earlier = {pair.after: before.items[pair.before] for pair in found.pairs}
    items: list[Item] = []
    for index, (item, state) in enumerate(zip(after.items, found.after, strict=True)):
        if index in earlier:
            since = earlier[index].get("first_seen_at") or before.since
        else:
            since = after.since if state is FindingState.NEW else None
        compared = {**item, "state": state.value, "first_seen_at": since}
        if state is FindingState.UPDATED:
            compared["severity_before"] = earlier[index].get("severity")
        items.append(compared)
    return items


def _counts(run: MeasuredRun, states: Sequence[FindingState]) -> dict[str, JSON]:
    """Return the number of findings by metric, severity, state and role."""
    roles = run.roles
    numbers = Counter(
        (item["metric"], item.get("severity", "unknown"), state.value, roles.get(item["path"], "source"))
        for item, state in zip(run.items, states, strict=True)
    )
    counts: dict[str, JSON] = {}
    for (metric, severity, state, role), number in sorted(numbers.items()):
        counts.setdefault(metric, {}).setdefault(severity, {}).setdefault(state, {})[role] = number
    return counts


def _aggregates(before: MeasuredRun, after: MeasuredRun) -> dict[str, JSON]:
    """Return the aggregates of both runs; lists, such as that of packages, are left out."""
    return {"before": _numbers(before.metrics), "after": _numbers(after.metrics)}


def _numbers(metrics: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        name: {key: value for key, value in values.items() if not isinstance(value, list)}
        for name, values in metrics.items()
    }


def _files(before: MeasuredRun, after: MeasuredRun, renamed: Mapping[str, str]) -> dict[str, JSON]:
    removed = filter(after.selection.selects, before.digests.keys() - after.digests.keys() - renamed.keys())
    added = filter(before.selection.selects, after.digests.keys() - before.digests.keys() - set(renamed.values()))
    changed = (path for path, digest in after.digests.items() if before.digests.get(path, digest) != digest)
    return {
        "added": _listed(added),
        "removed": _listed(removed),
        "changed": _listed(changed),
        "renamed": {
            "total": len(renamed),
            "items": [{"from": old, "to": renamed[old]} for old in sorted(renamed)[:PATHS_LIMIT]],
        },
    }


def _differing_selections(before: MeasuredRun, after: MeasuredRun) -> dict[str, JSON] | None:
    """Return what was chosen for both runs; None where it is the same."""
    if before.selection == after.selection:
        return None
    return {"before": before.selection.to_json(), "after": after.selection.to_json()}


def _listed(paths: Iterable[str]) -> dict[str, JSON]:
    ordered = sorted(paths)
    return {"total": len(ordered), "items": ordered[:PATHS_LIMIT]}


def _fixed(before: MeasuredRun, states: Sequence[FindingState]) -> dict[str, JSON]:
    fixed = [item for item, state in zip(before.items, states, strict=True) if state is FindingState.FIXED]
    fixed.sort(key=lambda item: (-FindingSeverity(item["severity"]).rank, item["path"], item["line"]))
    return {"total": len(fixed), "items": [{**item, "state": str(FindingState.FIXED)} for item in fixed[:FIXED_LIMIT]]}


def _changed_versions(before: MeasuredRun, after: MeasuredRun) -> dict[str, JSON]:
    """Return `{tool: [before, after]}` of those whose version changed; null for a version that a run does not have."""
    tools = sorted({*before.tool_versions, *after.tool_versions})
    versions = {tool: [before.tool_versions.get(tool), after.tool_versions.get(tool)] for tool in tools}
    return {tool: [old, new] for tool, (old, new) in versions.items() if old != new}
