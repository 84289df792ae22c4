"""Lines of a project's numbers over its runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.export.exported_run import ExportedRun
from worker.export.html.charts.lines import line_chart
from worker.export.html.values import counted, cut, line, mapping, moment, number, objects, plain_number, words

CHARTS_SHOWN, POINTS_SHOWN = 12, 200
_FIRST = ("quality_score", "quality")


def trend(run: ExportedRun) -> dict[str, Any] | None:
    """Return a small chart for each number of at least two runs; None for a document without a trend.

    `trend` in the document lists points `{created_at, commit, values}`, the oldest first; `values` has numbers by
    name, or by metric and key.
    """
    listed = objects(run.document.get("trend"))
    if not listed:
        return None
    points = listed[-POINTS_SHOWN:]
    numbers = [dict(_numbers(mapping(point.get("values")))) for point in points]
    names = sorted({name for values in numbers for name in values}, key=lambda name: (name not in _FIRST, name))
    series = [(name, [values[name] for values in numbers if name in values]) for name in names]
    drawn = [(name, values) for name, values in series if len(values) > 1]
    return {
        "charts": [_chart(name, values) for name, values in drawn[:CHARTS_SHOWN]],
        "cut": cut(min(CHARTS_SHOWN, len(drawn)), len(drawn)),
        "runs": counted(len(points), "run"),
        "cut_runs": cut(len(points), len(listed)),
        "first": _when(points[0]),
        "last": _when(points[-1]),
    }


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        found = number(value)
        if found is not None:
            yield str(name), found
        for key, inner in mapping(value).items():
            deeper = number(inner)
            if deeper is not None:
                yield f"{name} {key}", deeper


def _chart(name: str, values: Sequence[float]) -> dict[str, Any]:
    shown = words(name)
    first, last = plain_number(values[0]), plain_number(values[-1])
    label = f"{shown}: from {first} to {last} over {counted(len(values), 'run')}"
    return {
        "name": shown,
        "svg": line_chart(values, label),
        "first": first,
        "last": last,
        "least": plain_number(min(values)),
        "greatest": plain_number(max(values)),
    }


def _when(point: Mapping[str, Any]) -> str:
    commit = line(point.get("commit"), 64)[:12]
    return " ".join(part for part in (moment(point.get("created_at")), commit and f"({commit})") if part) or "unknown"
