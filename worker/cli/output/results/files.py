"""Tables of files of a result: the worst ones, and hotspots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.markup import escape

from domain.findings.measured_run import iter_files
from domain.findings.roles import Role
from domain.metrics.declaration import Column, MetricDeclaration, file_metrics_of
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid

WORST_FILES = 10
HOTSPOTS = 5
UNKNOWN = "[dim]-[/dim]"


def worst_files_grid(document: Mapping[str, JSON], declarations: Sequence[MetricDeclaration]) -> Grid | None:
    """Return the source files without a health score, then those with the lowest; None where no number of one is known.

    A tree without source files, such as one of tests, shows all.
    """
    every = list(iter_files(document["file_tree"]))
    source = [file for file in every if file.get("role", Role.SOURCE) == Role.SOURCE]
    files = sorted(source or every, key=_worst_first)
    if not files:
        return None
    columns = [(metric.key, metric.column) for metric in file_metrics_of(declarations) if metric.column is not None]
    numbers = ("health", *(column.heading for _, column in columns))
    shown, noun = files[:WORST_FILES], "source files" if source else "files"
    rows: list[Sequence[str]] = [tuple(_file_row(file, columns)) for file in shown]
    if all(row[:-1] == (UNKNOWN,) * len(numbers) for row in rows) and not any("parse_error" in file for file in shown):
        return None  # the metrics with columns were not requested
    title = _worst_title(files, len(shown), noun)
    return Grid(headings=(*numbers, "file"), rows=rows, title=title, numbers=frozenset(numbers))


def _worst_title(files: Sequence[Mapping[str, Any]], shown: int, noun: str) -> str:
    """Return the title of the first `shown` files. Where no file has a score, none is called the worst."""
    cut = len(files) > shown
    if all(file["metrics"]["health_score"] is None for file in files):
        return f"{shown} of {len(files)} {noun}, whose health is not known" if cut else f"The {noun}: health not known"
    return f"The worst {shown} of {len(files)} {noun}" if cut else f"The {noun}, worst first"


def hotspots_grid(document: Mapping[str, JSON]) -> Grid | None:
    """Return the first hotspots; None for a run without a history that says something of them."""
    history = document.get("history") or {}
    files = (history.get("hotspots") or {}).get("files") or []
    if not files:
        return None
    numbers = ("score", "commits", "health")
    shown = files[:HOTSPOTS]
    cut = f" ({len(shown)} of {len(files)})" if len(files) > len(shown) else ""
    title = f"Hotspots, which change often and are in bad health{cut}"
    grid = Grid(headings=(*numbers, "file"), title=title, numbers=frozenset(numbers))
    for file in shown:
        score, health = _score_text(file["score"]), _score_text(file["health"])
        grid.rows.append((score, f"{file['commits']:,}", health, escape(printable_line(file["path"]))))
    return grid


def _score_text(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def _worst_first(file: Mapping[str, Any]) -> tuple[float, str]:
    """Sort key: files without a score come first, since something in them could not be measured."""
    health = file["metrics"]["health_score"]
    return (-1.0 if health is None else health), file["path"]


def _file_row(file: Mapping[str, Any], columns: Sequence[tuple[str, Column]]) -> Iterable[str]:
    health = file["metrics"]["health_score"]
    yield UNKNOWN if health is None else f"{health:.1f}"
    for key, column in columns:
        values = file["metrics"].get(key, {})
        numbers = [values.get(name) for name in column.of]
        yield _format_graded(None if None in numbers else sum(numbers), values.get("severity"))
    yield escape(printable_line(file["path"])) + (" [red](does not parse)[/red]" if "parse_error" in file else "")


def _format_graded(value: float | None, severity: str | None) -> str:
    if value is None:
        return UNKNOWN
    text = f"{value:.0f}"
    colour = {"medium": "yellow", "high": "red"}.get(severity or "")
    return f"[{colour}]{text}[/{colour}]" if colour else text
