"""What became of the findings since the baseline, by metric and severity."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES
from worker.export.exported_run import ExportedRun
from worker.export.html.values import count, counted, cut, line, mapping, moment, texts, words

METRICS_SHOWN, TOOLS_SHOWN, GLOBS_SHOWN = 20, 12, 20
_CHOSEN = {
    "pinned": "the pinned run of the project",
    "same branch": "the newest earlier run of the same branch",
    "default branch": "the newest run of the default branch",
    "submission": "the run that the submission names",
}
_FILES = ("added", "removed", "changed", "renamed")
_OTHER_STATES = ("updated", "moved", "unchanged", "not_measured", "tool_changed")

Numbers = Counter[tuple[str, str, str, bool]]
"""Findings by metric, severity, state, and whether their file is source."""


def changes(run: ExportedRun) -> dict[str, Any] | None:
    """Return new and fixed findings of source files by metric; None for a run that was compared with none."""
    comparison = run.part("comparison")
    if not comparison:
        return None
    after, before = _numbers(comparison.get("counts")), _numbers(comparison.get("baseline_counts"))
    states: Numbers = Counter({key: value for key, value in after.items() if key[2] != "fixed"})
    states.update({key: value for key, value in before.items() if key[2] == "fixed"})
    totals = {state: _sum(states, state=state, source=True) for state in ("new", "fixed", *_OTHER_STATES)}
    ranked = sorted({key[0] for key in states}, key=lambda metric: (-_changed(states, metric), metric))
    changed = [metric for metric in ranked if _changed(states, metric)]
    return {
        "baseline": _baseline(comparison),
        "severities": [str(severity) for severity in reversed(SEVERITIES)],
        "rows": [_row(states, metric) for metric in changed[:METRICS_SHOWN]],
        "cut": cut(min(len(changed), METRICS_SHOWN), len(changed)),
        "totals": totals,
        "elsewhere": {state: _sum(states, state=state, source=False) for state in ("new", "fixed")},
        "files": _files(mapping(comparison.get("files"))),
        "uncompared": _uncompared(after, before),
        "tools": _tools(mapping(comparison.get("tool_versions"))),
        "selection": _earlier_selection(comparison.get("selections")),
    }


def _earlier_selection(selections: Any) -> str | None:
    """Return what was chosen for the earlier run, where it is not what was chosen for this one."""
    if not isinstance(selections, Mapping):
        return None
    chosen = [
        f"{line(key, 20)} {', '.join(texts(values)[:GLOBS_SHOWN])}"
        for key, values in mapping(selections.get("before")).items()
    ]
    return line("; ".join(chosen), 1_000) or "all files by all metrics"


def _baseline(comparison: Mapping[str, Any]) -> dict[str, Any]:
    chosen = line(comparison.get("chosen_as"), 60)
    named = comparison.get("baseline")
    origin = mapping(named)
    facts = [line(origin.get(key), limit) for key, limit in (("git_branch", 80), ("git_commit_sha", 12))]
    facts.append(moment(origin.get("created_at")) or "")
    return {
        "run_id": line(comparison.get("baseline_run_id"), 64) or line(named, 120) or None,
        "chosen": _CHOSEN.get(chosen, chosen) or None,
        "facts": [fact for fact in facts if fact],
    }


def _numbers(counts: Any) -> Numbers:
    """Read `{metric: {severity: {state: {role: number}}}}`."""
    numbers: Numbers = Counter()
    for metric, of_metric in mapping(counts).items():
        for severity, of_severity in mapping(of_metric).items():
            for state, of_roles in mapping(of_severity).items():
                for role, value in mapping(of_roles).items():
                    numbers[str(metric), str(severity), str(state), role == Role.SOURCE] += count(value) or 0
    return numbers


def _sum(
    numbers: Numbers,
    *,
    state: str,
    metric: str | None = None,
    severity: str | None = None,
    source: bool | None = None,
) -> int:
    return sum(
        value
        for (of_metric, of_severity, of_state, of_source), value in numbers.items()
        if of_state == state
        and metric in (None, of_metric)
        and severity in (None, of_severity)
        and source in (None, of_source)
    )


def _changed(numbers: Numbers, metric: str) -> int:
    states = ("new", "fixed", "updated", "moved")
    return sum(_sum(numbers, state=state, metric=metric, source=True) for state in states)


def _row(numbers: Numbers, metric: str) -> dict[str, Any]:
    def by_severity(state: str) -> list[int]:
        return [
            _sum(numbers, state=state, metric=metric, severity=severity, source=True)
            for severity in reversed(SEVERITIES)
        ]

    total = {state: _sum(numbers, state=state, metric=metric, source=True) for state in ("new", "fixed")}
    return {
        "metric": words(metric),
        "new": by_severity("new"),
        "fixed": by_severity("fixed"),
        "balance": total["new"] - total["fixed"],
        "updated": _sum(numbers, state="updated", metric=metric, source=True),
        "moved": _sum(numbers, state="moved", metric=metric, source=True),
    }


def _files(files: Mapping[str, Any]) -> str | None:
    totals = [(kind, count(mapping(files.get(kind)).get("total"))) for kind in _FILES]
    known = [f"{total:,} {kind}" for kind, total in totals if total is not None]
    return ", ".join(known) or None


def _uncompared(after: Numbers, before: Numbers) -> list[str]:
    meanings = {
        "not_measured": "could not be compared, since one of the runs did not measure them",
        "tool_changed": "differ because a tool changed, and not the code",
    }
    sentences = []
    for state, meaning in meanings.items():
        here, there = _sum(after, state=state), _sum(before, state=state)
        if here or there:
            sentences.append(f"{counted(here, 'finding')} of this run and {there:,} of the earlier one {meaning}.")
    return sentences


def _tools(versions: Mapping[str, Any]) -> list[str]:
    shown = []
    for tool, pair in list(versions.items())[:TOOLS_SHOWN]:
        old, new = (*pair, None, None)[:2] if isinstance(pair, list | tuple) else (None, None)
        shown.append(f"{line(tool, 60)} {line(old, 40) or 'none'} → {line(new, 40) or 'none'}")
    return shown
