"""Text output of a result: the metrics, the worst files, errors, and what was skipped."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from domain.metrics.declaration import Column, MetricDeclaration, RowFormat, file_metrics_of, in_row_order
from domain.metrics.row_text import row_text
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import OutputWriter, print_line

WORST_FILES = 10
ERROR_LINES = 10
SHA_SHOWN = 12


def metrics_grid(document: Mapping[str, JSON], declarations: Sequence[MetricDeclaration]) -> Grid:
    """Return one row for each metric: its score (0..100, more is better), its state, and its aggregate as text."""
    grid = Grid(headings=("metric", "score", "state", "result"), title="Metrics", numbers=frozenset({"score"}))
    states, metrics = document["completeness"]["collectors"], document["metrics"]
    for declaration in in_row_order(declarations):
        name, row = declaration.name, declaration.row
        if name in metrics:
            value = metrics[name].get(row.score) if row.score else None
            text, state = _format_aggregate(row, metrics[name]), states.get(name, "?")
            is_absent = state == "ok" and _is_unmeasured(metrics[name])
            grid.rows.append((name, _score(value), row.absent if is_absent else _state(state), text))
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
    colour = {"ok": "green", "partial": "yellow"}.get(state, "red")
    return f"[{colour}]{escape(state)}[/{colour}]"


def iter_files(node: Mapping[str, JSON]) -> Iterator[Mapping[str, JSON]]:
    """Yield the file nodes of a file tree, in the tree's order."""
    pending = [node]
    while pending:
        node = pending.pop()
        if node["type"] == "file":
            yield node
        else:
            pending.extend(reversed(node["children"]))


def worst_files_grid(document: Mapping[str, JSON], declarations: Sequence[MetricDeclaration]) -> Grid | None:
    """Return the files without a health score, then those with the lowest; None for a tree without files."""
    files = sorted(iter_files(document["file_tree"]), key=_worst_first)
    if not files:
        return None
    columns = [(metric.key, metric.column) for metric in file_metrics_of(declarations) if metric.column is not None]
    numbers = ("health", *(column.heading for _, column in columns))
    shown = files[:WORST_FILES]
    title = f"The worst {len(shown)} of {len(files)} files" if len(files) > len(shown) else "The files, worst first"
    rows: list[Sequence[str]] = [tuple(_file_row(file, columns)) for file in shown]
    return Grid(headings=(*numbers, "file"), rows=rows, title=title, numbers=frozenset(numbers))


def _worst_first(file: Mapping[str, Any]) -> tuple[float, str]:
    """Sort key: files without a score come first, since something in them could not be measured."""
    health = file["metrics"]["health_score"]
    return (-1.0 if health is None else health), file["path"]


def _file_row(file: Mapping[str, Any], columns: Sequence[tuple[str, Column]]) -> Iterable[str]:
    health = file["metrics"]["health_score"]
    yield "[dim]-[/dim]" if health is None else f"{health:.1f}"
    for key, column in columns:
        values = file["metrics"].get(key, {})
        numbers = [values.get(name) for name in column.of]
        yield _format_graded(None if None in numbers else sum(numbers), values.get("severity"))
    yield escape(printable_line(file["path"])) + (" [red](does not parse)[/red]" if "parse_error" in file else "")


def _format_graded(value: float | None, severity: str | None) -> str:
    if value is None:
        return "[dim]-[/dim]"
    text = f"{value:.0f}"
    colour = {"medium": "yellow", "high": "red"}.get(severity or "")
    return f"[{colour}]{text}[/{colour}]" if colour else text


def show_result(document: Mapping[str, JSON], output: OutputWriter) -> None:
    """Print a whole result, as JSON or as text."""
    if output.as_json:
        output.print_json(document)
    else:
        print_result(output.console, document)


def print_result(console: Console, document: Mapping[str, JSON]) -> None:
    """Print a whole result as text: the source, the metrics, the worst files, errors, and what was skipped."""
    # Imported here, since collectors import their tools, which takes 0.15 s.
    from collectors.engine.discovery import declarations

    print_line(console, _headline(document))
    declared = declarations()
    for grid in (metrics_grid(document, declared), worst_files_grid(document, declared)):
        if grid is not None:
            console.print()
            grid.show(console)
    console.print()
    for line in _footnotes(document):
        print_line(console, line)


def _headline(document: Mapping[str, JSON]) -> str:
    source, timings = document["source"], document["timings_ms"]
    name = source.get("git_repo_url") or source.get("path") or source.get("upload_filename")
    revision = str(source.get("git_commit_sha") or "")[:SHA_SHOWN]
    at = " ".join(word for word in (source.get("git_branch"), revision) if word)
    seconds = sum(timings.get(stage, 0) for stage in ("fetching", "collecting", "summarizing")) / 1000
    run = f"run {source['run_id']}: " if "run_id" in source else ""
    where = f" ({printable_line(at)})" if at else ""
    count = document["completeness"]["files"]
    return f"{run}{printable_line(str(name))}{where}, {count} {'file' if count == 1 else 'files'} in {seconds:.1f} s"


def _footnotes(document: Mapping[str, JSON]) -> Iterator[str]:
    errors = document["errors"]
    for line in errors[:ERROR_LINES]:
        yield f"! {line}"
    if len(errors) > ERROR_LINES:
        yield f"! and {len(errors) - ERROR_LINES} more (all are in --json)"
    findings = document["findings"]
    if findings["total"]:
        counts = Counter(item["metric"] for item in findings["items"]).most_common()
        each = ", ".join(f"{name} {count}" for name, count in counts)
        yield f"{findings['total']} findings: {each} (each with its file and line in --json)"
    skipped = document["completeness"]["skipped"]
    if skipped:
        first, total = skipped[0], document["completeness"]["skipped_total"]
        yield f"{total} skipped, such as {printable_line(first['path'])}: {first['reason']} (all are in --json)"
