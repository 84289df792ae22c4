"""The table of metrics of a result."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from domain.metrics.declaration import MetricDeclaration, RowFormat, in_row_order
from domain.metrics.row_text import row_text, source_aggregate
from domain.selection import NOT_REQUESTED
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid


def metrics_grid(document: Mapping[str, JSON], declarations: Sequence[MetricDeclaration]) -> Grid:
    """Return one row for each metric: its score (0..100, more is better), its state, and its aggregate as text.

    They are about source files, where the tree has others too and the metric knows them apart.
    """
    states, metrics = document["completeness"]["collectors"], document["metrics"]
    has_others = any(len(values.get("by_role") or ()) > 1 for values in metrics.values())
    title = "Metrics of the source files" if has_others else "Metrics"
    grid = Grid(headings=("metric", "score", "state", "result"), title=title, numbers=frozenset({"score"}))
    for declaration in in_row_order(declarations):
        name, row = declaration.name, declaration.row
        if name in metrics:
            source = source_aggregate(metrics[name])
            shown = metrics[name] if source is None else source
            value = shown.get(row.score) if row.score else None
            text, state = _format_aggregate(row, shown), states.get(name, "?")
            is_unmeasured = _is_unmeasured(shown)
            is_absent = state == "ok" and is_unmeasured
            note = " [dim](all files)[/dim]" if has_others and source is None and not is_unmeasured else ""
            grid.rows.append((name, _score(value), row.absent if is_absent else _state(state), text + note))
    for name in sorted(metrics.keys() - {declaration.name for declaration in declarations}):
        text = escape(printable_line(str(metrics[name])))
        grid.rows.append((escape(name), "", _state(states.get(name, "?")), text))
    return grid


def _format_aggregate(row: RowFormat, aggregate: Mapping[str, Any]) -> str:
    text = row_text(row, aggregate)
    return "[dim]not measured[/dim]" if text is None else text


def _is_unmeasured(aggregate: Mapping[str, Any]) -> bool:
    return all(value is None for value in aggregate.values())


def _score(value: float | None) -> str:
    if value is None:
        return ""
    colour = "green" if value >= 80 else "yellow" if value >= 50 else "red"
    return f"[{colour}]{value:.1f}[/{colour}]"


def _state(state: str) -> str:
    colour = {"ok": "green", "partial": "yellow", NOT_REQUESTED: "dim"}.get(state, "red")
    return f"[{colour}]{escape(state.replace('_', ' '))}[/{colour}]"
