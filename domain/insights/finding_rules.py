"""Rules about the findings of a run: what became better or worse, where problems gather, and what was not measured."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from posixpath import dirname

from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.insights.insight import SHOWN_PLACES, Insight, InsightType, RunFacts, confidence, counted
from domain.text import JSON

MIN_CLUSTER = 3
"""Fewer findings in one folder are single findings."""

SERIOUS = (FindingSeverity.MEDIUM, FindingSeverity.HIGH)
_NEW, _FIXED, _TOOL_CHANGED = "new", "fixed", "tool_changed"


def regression(run: RunFacts) -> Iterator[Insight]:
    """More serious findings are new than fixed."""
    if run.comparison is not None:
        new = [
            item for item in run.findings if item.get("state") == _NEW and run.roles.get(item["path"]) == Role.SOURCE
        ]
        refuted_by = "the new findings are false alarms, or stood in the baseline under another name"
        yield from _balance(run, run.comparison, InsightType.REGRESSION, (_NEW, _FIXED), new, refuted_by)


def improvement(run: RunFacts) -> Iterator[Insight]:
    """More serious findings are fixed than new."""
    if run.comparison is not None:
        fixed = run.comparison["fixed"]["items"]
        refuted_by = "the files were removed, excluded or suppressed instead of mended"
        yield from _balance(run, run.comparison, InsightType.IMPROVEMENT, (_FIXED, _NEW), fixed, refuted_by)


def _balance(
    run: RunFacts,
    comparison: Mapping[str, JSON],
    kind: InsightType,
    states: tuple[str, str],
    items: Iterable[Mapping[str, JSON]],
    refuted_by: str,
) -> Iterator[Insight]:
    """Yield an insight if more serious findings have the first state than the second. `items` have the first."""
    more, fewer = (_serious(comparison, state) for state in states)
    if more <= fewer:
        return
    words = ("more", "fewer") if states[0] == _NEW else ("fewer", "more")
    serious = [item for item in items if item["severity"] in SERIOUS]
    yield Insight(
        type=kind,
        title=f"{counted(more, 'serious finding')} {words[0]}, {fewer} {words[1]}",
        description=(
            f"Of findings of medium or high severity in source files, "
            f"{more} are {states[0]} and {fewer} are {states[1]}."
        ),
        confidence=confidence(run.completeness_of(), sample=1, sample_half=0, effect=more - fewer, effect_half=1),
        data={states[0]: more, states[1]: fewer, "places": _places(serious), "refuted_by": refuted_by},
        tags=tuple(sorted({item["metric"] for item in serious})),
    )


def clusters(metric: str, kind: InsightType, noun: str, refuted_by: str) -> Callable[[RunFacts], Iterator[Insight]]:
    """Return a rule that finds the folder with the most serious findings of a metric."""

    def rule(run: RunFacts) -> Iterator[Insight]:
        folders: defaultdict[str, list[Mapping[str, JSON]]] = defaultdict(list)
        for item in run.of_source(metric):
            if item["severity"] in SERIOUS:
                folders[dirname(item["path"]) or "."].append(item)
        total = sum(map(len, folders.values()))
        if not folders:
            return
        folder, items = min(folders.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        if len(items) < MIN_CLUSTER:
            return
        yield Insight(
            type=kind,
            title=f"{len(items)} of {counted(total, noun)} are in {folder}",
            description=f"{folder} has {len(items)} of the {total} of medium or high severity in source files.",
            confidence=confidence(
                run.completeness_of(metric),
                sample=len(items),
                sample_half=MIN_CLUSTER,
                effect=len(items) / total,
                effect_half=0.25,
            ),
            data={"count": len(items), "total": total, "places": _places(items), "refuted_by": refuted_by},
            tags=(metric,),
        )

    return rule


def complexity_outliers(run: RunFacts) -> Iterator[Insight]:
    """Functions of high complexity."""
    items = [item for item in run.of_source("cyclomatic") if item["severity"] == FindingSeverity.HIGH]
    if not items:
        return
    yield Insight(
        type=InsightType.COMPLEXITY_OUTLIER,
        title=f"{counted(len(items), 'function')} with a complexity above 30",
        description="Functions with so many paths can hardly be tested path by path, or changed without a mistake.",
        confidence=confidence(
            run.completeness_of("cyclomatic"), sample=1, sample_half=0, effect=len(items), effect_half=0.5
        ),
        data={
            "count": len(items),
            "places": _places(items),
            "refuted_by": "the branches are a flat table of cases, each tested",
        },
        tags=("cyclomatic",),
    )


def tool_drift(run: RunFacts) -> Iterator[Insight]:
    """Findings that differ because of the tools."""
    if run.comparison is None or not run.comparison["tool_versions"]:
        return
    changed = _total(run.comparison["counts"], _TOOL_CHANGED) + _total(run.comparison["baseline_counts"], _TOOL_CHANGED)
    tools = sorted(run.comparison["tool_versions"])
    yield Insight(
        type=InsightType.TOOL_DRIFT,
        title=f"Another version of {', '.join(tools)} than in the earlier run",
        description=f"{counted(changed, 'finding')} differ because of the tools and not of the code.",
        confidence=confidence(1.0, sample=1, sample_half=0, effect=1, effect_half=0),
        data={
            "tool_versions": run.comparison["tool_versions"],
            "findings": changed,
            "refuted_by": "a run of the earlier commit with these versions that gives the same findings",
        },
        tags=tuple(tools),
    )


def incomplete(run: RunFacts) -> Iterator[Insight]:
    """What was not measured."""
    states = run.completeness.get("collectors", {})
    lacking = {name: state for name, state in sorted(states.items()) if state in ("partial", "failed")}
    files, analyzed = run.completeness.get("files", 0), run.completeness.get("analyzed", 0)
    skipped = run.completeness.get("skipped_total", 0)
    if not lacking and analyzed == files and not skipped:
        return
    parts = [f"{files - analyzed} of {files} files could not be parsed"] if analyzed < files else []
    parts += [f"{counted(skipped, 'file')} left out"] if skipped else []
    parts += [f"{name} is {state}" for name, state in lacking.items()]
    yield Insight(
        type=InsightType.INCOMPLETE,
        title="Not everything was measured",
        description=f"{'; '.join(parts)}.",
        confidence=1.0,
        data={
            "files": files,
            "analyzed": analyzed,
            "skipped": skipped,
            "collectors": lacking,
            "refuted_by": "what was left out is not part of the project",
        },
    )


def _serious(comparison: Mapping[str, JSON], state: str) -> int:
    """Return the number of findings of medium or high severity in source files that have the state."""
    counts = comparison["baseline_counts" if state == _FIXED else "counts"]
    return sum(
        by_state.get(state, {}).get(Role.SOURCE, 0)
        for by_severity in counts.values()
        for severity, by_state in by_severity.items()
        if severity in SERIOUS
    )


def _total(counts: Mapping[str, JSON], state: str) -> int:
    return sum(
        number
        for by_severity in counts.values()
        for by_state in by_severity.values()
        for number in by_state.get(state, {}).values()
    )


def _places(items: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Return the places of the most serious findings."""
    ordered = sorted(items, key=lambda item: (-FindingSeverity(item["severity"]).rank, item["path"], item["line"] or 0))
    return [
        {"path": item["path"], "line": item["line"], "metric": item["metric"], "message": item["message"]}
        for item in ordered[:SHOWN_PLACES]
    ]
