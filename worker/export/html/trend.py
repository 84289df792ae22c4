"""Lines of a project's numbers over its runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.metrics.declaration import MetricDeclaration, in_row_order
from worker.export.exported_run import ExportedRun
from worker.export.html.charts.lines import line_chart
from worker.export.html.values import counted, cut, line, mapping, moment, number, objects, plain_number, words

CHARTS_SHOWN, POINTS_SHOWN = 12, 200


def trend(run: ExportedRun) -> dict[str, Any] | None:
    """Return small charts of the numbers that at least two runs have; None for a document without a trend.

    `trend` in the document has `points`, the oldest first, and a `reason` why no earlier run counts, or null. A point
    is `{created_at, commit, values}`; `values` has numbers by name, or by metric and key.
    """
    part = run.document.get("trend")
    if not isinstance(part, Mapping):
        return None
    listed = objects(part.get("points"))
    points = listed[-POINTS_SHOWN:]
    drawn = _series(run, points)
    return {
        "charts": [_chart(name, values) for name, values in drawn[:CHARTS_SHOWN]],
        "cut": cut(min(CHARTS_SHOWN, len(drawn)), len(drawn)),
        "runs": counted(len(points), "run"),
        "cut_runs": cut(len(points), len(listed)),
        "first": _when(points[0]) if points else None,
        "last": _when(points[-1]) if points else None,
        "reason": line(part.get("reason")) or None,
        "why_none": "no number of two runs is known" if len(points) > 1 else "there is no earlier run of this branch",
    }


def _series(run: ExportedRun, points: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    """Return the values of each number of at least two runs.

    The order is the quality score, what changed, what did not; in both parts the main number of each metric is first.
    """
    numbers = [dict(_numbers(mapping(point.get("values")))) for point in points]
    names = {name for values in numbers for name in values}
    series = {name: [values[name] for values in numbers if name in values] for name in names}
    leading = [f"{each.name} {_main_number(each)}" for each in in_row_order(run.declarations)]
    places = {name: place for place, name in enumerate(leading)}

    def order(name: str) -> tuple[bool, bool, int, str]:
        same = min(series[name]) == max(series[name])
        return name != "quality_score", same, places.get(name, len(places)), name

    return [(name, series[name]) for name in sorted(names, key=order) if len(series[name]) > 1]


def _main_number(metric: MetricDeclaration) -> str | None:
    return metric.row.score or next((field.key for field in metric.aggregate), None)


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
