"""The files of the report: a treemap of the source files, and those in the worst health."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.findings.roles import Role
from domain.metrics.declaration import FileMetric, file_metrics_of
from worker.export.exported_run import ExportedRun
from worker.export.html.charts.health import health_class, legend
from worker.export.html.charts.treemap import MappedFile, treemap
from worker.export.html.values import count, counted, cut, fixed, line, mapping, number, path_text, plain_number, words

UNSCORED_SHOWN = 10
_SEVERE = {"medium": "medium", "high": "high"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: str
    health: float | None
    sloc: int | None
    metrics: Mapping[str, Any]


def _source_files(run: ExportedRun) -> Iterator[_File]:
    for node in run.files:
        path, metrics = node.get("path"), mapping(node.get("metrics"))
        if isinstance(path, str) and path and node.get("role", Role.SOURCE) == Role.SOURCE:
            yield _File(
                path=path,
                health=number(metrics.get("health_score")),
                sloc=count(mapping(metrics.get("size")).get("sloc")),
                metrics=metrics,
            )


def file_map(run: ExportedRun, most: int) -> dict[str, Any] | None:
    """Return the treemap with at most so many files of their own; None where no source file has source lines."""
    files = list(_source_files(run))
    mapped = [MappedFile(path=file.path, sloc=file.sloc, health=file.health) for file in files if file.sloc]
    if not mapped:
        return None
    lines = sum(file.sloc for file in mapped)
    label = f"Treemap of {counted(len(mapped), 'source file')} with {counted(lines, 'source line')}, coloured by health"
    drawn = treemap(mapped, label, most)
    empty = len(files) - len(mapped)
    return {
        "svg": drawn.svg,
        "legend": legend(),
        "files": counted(len(mapped), "source file"),
        "single": f"{drawn.single:,}",
        "is_cut": drawn.single < len(mapped),
        "without_lines": counted(empty, "file") if empty else None,
    }


def worst_files(run: ExportedRun, most: int) -> dict[str, Any]:
    """Return the source files with the lowest health, and those that have none because something was not measured."""
    files = list(_source_files(run))
    scored = sorted((file for file in files if file.health is not None), key=lambda file: (file.health, file.path))
    unscored = sorted(file.path for file in files if file.health is None)
    metrics = [metric for metric in file_metrics_of(run.declarations) if metric.column is not None]
    return {
        "headings": [words(metric.key) for metric in metrics],
        "rows": [_row(file, metrics) for file in scored[:most]],
        "cut": cut(min(most, len(scored)), len(scored)),
        "scored": f"{len(scored):,}",
        "unscored": [path_text(path) for path in unscored[:UNSCORED_SHOWN]],
        "unscored_total": len(unscored),
        "unscored_cut": cut(min(UNSCORED_SHOWN, len(unscored)), len(unscored)),
    }


def _row(file: _File, metrics: Sequence[FileMetric]) -> dict[str, Any]:
    return {
        "path": path_text(file.path),
        "health": fixed(file.health, 1),
        "shade": health_class(file.health).fill,
        "sloc": plain_number(file.sloc, "?"),
        "cells": [_cell(mapping(file.metrics.get(metric.key)), metric) for metric in metrics],
    }


def _cell(values: Mapping[str, Any], metric: FileMetric) -> dict[str, Any]:
    numbers = [number(values.get(key)) for key in (metric.column.of if metric.column else ())]
    known = [value for value in numbers if value is not None]
    value = sum(known) if numbers and len(known) == len(numbers) else None
    severity = line(values.get("severity"), 10)
    return {"text": "?" if value is None else f"{value:,.0f}", "severity": _SEVERE.get(severity)}
