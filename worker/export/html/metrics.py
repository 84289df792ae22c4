"""The tiles of the report: the quality score with its place among known packages, and the ten metrics."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from domain.findings.roles import Role
from domain.metrics.declaration import MetricDeclaration, RowFormat, in_row_order
from domain.metrics.row_text import row_text
from domain.selection import NOT_REQUESTED
from worker.export.badge import quality_score
from worker.export.exported_run import ExportedRun
from worker.export.html.charts.health import health_class
from worker.export.html.charts.lines import bar
from worker.export.html.values import count, fixed, grouped, line, mapping, number, words

OTHER_METRICS_SHOWN = 20
_FIGURE = re.compile(r"(?P<before>[^\d,(]*)(?P<figure>\d[\d,]*(?:\.\d+)?(?: %)?)(?P<after>[^,(]*)(?P<rest>.*)")
"""The first number of a row's text, the words beside it, and what follows them."""
_STATES = {"ok": "measured", "partial": "partly measured", "failed": "failed", NOT_REQUESTED: "not requested"}
_NAMES = {
    "quality_score": "Quality score",
    "average_complexity": "Average complexity",
    "highest_complexity": "Highest complexity",
    "lint_per_1000_lines": "Lint issues per 1,000 lines",
    "dead_code_per_1000_lines": "Unused symbols per 1,000 lines",
    "security_high_per_1000_lines": "High security findings per 1,000 lines",
    "security_medium_per_1000_lines": "Medium security findings per 1,000 lines",
    "security_low_per_1000_lines": "Low security findings per 1,000 lines",
    "documented_share": "Documented share",
    "maintainability": "Maintainability index",
    "duplicated_share": "Duplicated share",
}
"""Names of `domain.statistics.standing.HIGHER_IS_BETTER` in words; another name is shown as it is."""


def quality(run: ExportedRun) -> dict[str, Any]:
    """Return the quality score, the grade, and the percentiles."""
    stored = number(run.document.get("quality_score"))
    score = stored if stored is not None else number(quality_score(run))
    standing = run.part("standing")
    reason = line(standing.get("reason"))
    if not standing:
        reason = "this run was not compared with other packages"
    return {
        "score": fixed(score, 1),
        "is_known": score is not None,
        "shade": health_class(score).fill,
        "is_stored": stored is not None,
        "grade": line(standing.get("grade"), 2) or None,
        "packages": count(standing.get("packages")),
        "reason": reason or None,
        "percentiles": list(_percentiles(mapping(standing.get("percentiles")))),
    }


def _percentiles(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in [*(name for name in _NAMES if name in values), *sorted(values.keys() - _NAMES.keys())[:20]]:
        percentile = number(values[name])
        if percentile is not None:
            yield {"name": _NAMES.get(name) or words(name), "value": fixed(percentile, 0), "bar": bar(percentile)}


def tiles(run: ExportedRun) -> list[dict[str, Any]]:
    """Return a tile for each metric that is declared, and for those that the run has besides."""
    metrics = run.part("metrics")
    comparison = run.part("comparison")
    # Numbers of other files say nothing about a change.
    earlier = mapping(mapping(comparison.get("metrics")).get("before")) if _has_same_files(comparison) else {}
    made = [
        _tile(run, declaration, mapping(metrics.get(declaration.name)), mapping(earlier.get(declaration.name)))
        for declaration in in_row_order(run.declarations)
    ]
    return made + list(_undeclared(run, metrics))


def _has_same_files(comparison: Mapping[str, Any]) -> bool:
    selections = mapping(comparison.get("selections"))
    before, after = mapping(selections.get("before")), mapping(selections.get("after"))
    return all(before.get(globs) == after.get(globs) for globs in ("include", "exclude"))


def _tile(
    run: ExportedRun, declaration: MetricDeclaration, values: Mapping[str, Any], earlier: Mapping[str, Any]
) -> dict[str, Any]:
    of_source = _source(values)
    main = _row(declaration.row, of_source if of_source is not None else values)
    before_values = earlier if of_source is None else _source(earlier)
    state = _state(run, declaration.name)
    score = number((of_source or values).get(declaration.row.score)) if declaration.row.score else None
    return {
        "name": words(declaration.name),
        "tool": declaration.tool,
        **_figure(main),
        "is_known": main is not None,
        "state": state,
        "state_words": _STATES.get(state or "", state or "state not recorded"),
        "score": None if score is None else fixed(score, 1),
        "scope": "source files" if of_source is not None else "whole tree",
        "whole": None if of_source is None else _row(declaration.row, values),
        "before": None if before_values is None else _row(declaration.row, before_values),
        "absent": declaration.row.absent if state == "ok" and main is None and declaration.row.absent != "ok" else None,
    }


def _undeclared(run: ExportedRun, metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the metrics of collectors that this program does not have, with their numbers as they are."""
    declared = {declaration.name for declaration in run.declarations}
    for name in sorted(str(name) for name in metrics if name not in declared)[:OTHER_METRICS_SHOWN]:
        values = mapping(metrics.get(name))
        numbers = ((words(key), number(value)) for key, value in list(values.items())[:10])
        text = ", ".join(f"{key} {fixed(value, 1)}" for key, value in numbers if value is not None)
        state = _state(run, name)
        yield {
            "name": words(name),
            "tool": "unknown tool",
            "figure": "",
            "unit": "",
            "caption": text,
            "is_known": bool(text),
            "state": state,
            "state_words": _STATES.get(state or "", state or "state not recorded"),
            **dict.fromkeys(("score", "whole", "before", "absent")),
            "scope": "whole tree",
        }


def _source(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the numbers of source files; None where a run has none for each role."""
    by_role = mapping(values.get("by_role"))
    return mapping(by_role.get(Role.SOURCE)) if by_role else None


def _state(run: ExportedRun, metric: str) -> str | None:
    states = mapping(run.part("completeness").get("collectors"))
    return line(states.get(metric), 40) or None


def _row(row: RowFormat, values: Mapping[str, Any]) -> str | None:
    """Return the text of a row; None for one without any number."""
    known = {key: _usable(value) for key, value in values.items() if key != "by_role"}
    try:
        text = row_text(row, known) if known else None
    except (KeyError, TypeError, ValueError):  # values of another version, which mean nothing to this row
        return None
    return None if text is None else grouped(line(text))


def _usable(value: Any) -> Any:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, Mapping)]
    return value if number(value) is not None else None


def _figure(text: str | None) -> dict[str, str]:
    """Return the first number of a row's text, the words beside it, and the rest."""
    found = _FIGURE.match(text or "")
    if found is None:
        return {"figure": "", "unit": "", "caption": text or ""}
    return {
        "figure": found["figure"],
        "unit": f"{found['before'].strip()} {found['after'].strip()}".strip(),
        "caption": found["rest"].lstrip(", "),
    }
