"""Text output of a result: the metrics, the worst files, errors, and what was skipped."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import OutputWriter, print_line

WORST_FILES = 10
ERROR_LINES = 10
SHA_SHOWN = 12

_ROWS: Sequence[tuple[str, str, str | None]] = (
    # collector, text about its aggregate, key of its score
    ("lint", "{total} issues, {suppressed} suppressed", "linting_score"),
    ("cyclomatic", "average complexity {avg_cc:.2f}", "complexity_score"),
    ("docs", "{coverage_pct:.1f} % documented", None),
    ("dead_code", "{unused_symbols} unused symbols, {suppressed} suppressed", None),
    ("deps", "{total_modules} modules imported, {packages} packages{outdated}", None),
    ("mi", "maintainability index {mi_avg:.1f}", None),
    ("size", "{files} files, {sloc} source lines, {avg_file_sloc} a file", None),
    ("dupes", "{duplicate_lines} duplicated lines ({duplicate_pct:.1f} %)", "duplication_score"),
    ("security", "{high} high, {medium} medium, {low} low, {suppressed} suppressed", "security_score"),
    ("churn", "{total_commits} commits, {totalChurn} lines changed", "churn_score"),
)
_PLURAL_OF_ONE = re.compile(r"\b1 ((?:\w+ )?(?:issue|symbol|module|package|file|line|commit))s\b")


class _Unknown:
    """Stands for null in the text about a metric."""

    def __format__(self, _spec: str) -> str:
        return "?"


def metrics_grid(document: Mapping[str, JSON]) -> Grid:
    """Return one row for each collector: its score (0..100, more is better), its state, and its aggregate as text."""
    grid = Grid(headings=("metric", "score", "state", "result"), title="The ten metrics", numbers=frozenset({"score"}))
    states = document["completeness"]["collectors"]
    known = {name for name, _, _ in _ROWS}
    for name, template, score in _ROWS:
        if name in document["metrics"]:
            aggregate = document["metrics"][name]
            value = aggregate.get(score) if score else None
            grid.rows.append(
                (name, _score(value), _state(states.get(name, "?")), _format_aggregate(template, aggregate))
            )
    for name in sorted(set(document["metrics"]) - known):
        text = escape(printable_line(str(document["metrics"][name])))
        grid.rows.append((escape(name), "", _state(states.get(name, "?")), text))
    return grid


def _format_aggregate(template: str, aggregate: Mapping[str, Any]) -> str:
    if all(value is None for value in aggregate.values()):
        return "[dim]not measured[/dim]"
    packages = aggregate.get("package_health") or ()
    values = {name: _Unknown() if value is None else value for name, value in aggregate.items()}
    return _PLURAL_OF_ONE.sub(r"1 \1", template.format(**values, packages=len(packages), outdated=_outdated(packages)))


def _outdated(packages: Sequence[Mapping[str, Any]]) -> str:
    """Count the outdated packages. Those of unknown state are counted apart, not as up to date."""
    outdated = sum(1 for package in packages if package["outdated"])
    unknown = sum(1 for package in packages if package["outdated"] is None)
    counts = [f"{outdated} outdated"] + ([f"{unknown} unknown"] if unknown else [])
    return f" ({', '.join(counts)})" if packages else ""


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


def worst_files_grid(document: Mapping[str, JSON]) -> Grid | None:
    """Return the files with the lowest health score, worst first; None for a tree without files."""
    files = sorted(iter_files(document["file_tree"]), key=lambda file: (file["metrics"]["health_score"], file["path"]))
    if not files:
        return None
    numbers = ("health", "cc", "lint", "sec", "docs", "mi", "dead", "dupes", "churn")
    shown = files[:WORST_FILES]
    title = f"The worst {len(shown)} of {len(files)} files" if len(files) > len(shown) else "The files, worst first"
    rows: list[Sequence[str]] = [tuple(_file_row(file)) for file in shown]
    return Grid(headings=(*numbers, "file"), rows=rows, title=title, numbers=frozenset(numbers))


def _file_row(file: Mapping[str, Any]) -> Iterable[str]:
    metrics = file["metrics"]
    security = metrics["security"]
    found = None if security["high"] is None else security["high"] + security["medium"] + security["low"]
    yield f"{metrics['health_score']:.1f}"
    for value, severity in (
        (metrics["complexity"]["value"], metrics["complexity"]["severity"]),
        (metrics["lint"]["count"], metrics["lint"]["severity"]),
        (found, security["severity"]),
        (metrics["docs"]["value"], metrics["docs"]["severity"]),
        (metrics["maintainability"]["value"], metrics["maintainability"]["severity"]),
        (metrics["dead_code"]["count"], metrics["dead_code"]["severity"]),
        (metrics["duplication"]["count"], metrics["duplication"]["severity"]),
        (metrics["churn"]["count"], metrics["churn"]["severity"]),
    ):
        yield _format_graded(value, severity)
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
    print_line(console, _headline(document))
    for grid in (metrics_grid(document), worst_files_grid(document)):
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
