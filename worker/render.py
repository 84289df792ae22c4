"""How results look on a terminal: the ten metrics as a table, the worst files, what went wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.text import JSON, printable

WORST_FILES = 10
ERROR_LINES = 10

_ROWS: Sequence[tuple[str, str, str | None]] = (
    # collector, what is said of its aggregate, the key of its score
    ("lint", "{total} issues, {suppressed} suppressed", "linting_score"),
    ("cyclomatic", "average complexity {avg_cc:.2f}", "complexity_score"),
    ("docs", "{coverage_pct:.1f} % documented", None),
    ("dead_code", "{unused_symbols} unused symbols", None),
    ("deps", "{total_modules} modules, {packages} third-party packages", None),
    ("mi", "maintainability index {mi_avg:.1f}", None),
    ("size", "{files} files, {sloc} source lines, {avg_file_sloc} a file", None),
    ("dupes", "{duplicate_lines} duplicated lines ({duplicate_pct:.1f} %)", "duplication_score"),
    ("security", "{high} high, {medium} medium, {low} low, {suppressed} suppressed", "security_score"),
    ("churn", "{total_commits} commits, {totalChurn} lines changed", "churn_score"),
)


def metrics_table(document: Mapping[str, JSON]) -> Table:
    """The aggregate of each collector in words, its score, and whether it is complete."""
    table = Table(title="The ten metrics", title_justify="left")
    for heading, justify in (("metric", "left"), ("result", "left"), ("score", "right"), ("state", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    states = document["completeness"]["collectors"]
    known = {name for name, _, _ in _ROWS}
    for name, words, score in _ROWS:
        if name in document["metrics"]:
            aggregate = document["metrics"][name]
            value = aggregate.get(score) if score else None
            table.add_row(name, _in_words(words, aggregate), _score(value), _state(states.get(name, "?")))
    for name in sorted(set(document["metrics"]) - known):
        table.add_row(name, escape(str(document["metrics"][name])), "", _state(states.get(name, "?")))
    return table


def _in_words(words: str, aggregate: Mapping[str, Any]) -> str:
    values = {**aggregate, "packages": len(aggregate.get("package_health") or ())}
    if any(value is None for value in aggregate.values()):
        return "[dim]not measured[/dim]"
    return words.format(**values)


def _score(value: float | None) -> str:
    if value is None:
        return ""
    colour = "green" if value >= 80 else "yellow" if value >= 50 else "red"
    return f"[{colour}]{value:.1f}[/{colour}]"


def _state(word: str) -> str:
    colour = {"ok": "green", "partial": "yellow"}.get(word, "red")
    return f"[{colour}]{word}[/{colour}]"


def files_of(node: Mapping[str, JSON]) -> Iterator[Mapping[str, JSON]]:
    """Every file node of a file tree, in the tree's order."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node["type"] == "file":
            yield node
        else:
            waiting.extend(reversed(node["children"]))


def worst_files_table(document: Mapping[str, JSON]) -> Table | None:
    """The files of the lowest health, worst first; None where there is no file."""
    files = sorted(files_of(document["file_tree"]), key=lambda file: (file["metrics"]["health_score"], file["path"]))
    if not files:
        return None
    table = Table(title="The worst files", title_justify="left")
    table.add_column("health", justify="right")
    table.add_column("file", overflow="fold")
    for heading in ("complexity", "lint", "security", "docs", "mi", "dead", "dupes", "churn"):
        table.add_column(heading, justify="right")
    for file in files[:WORST_FILES]:
        table.add_row(*_file_row(file))
    return table


def _file_row(file: Mapping[str, Any]) -> Iterable[str]:
    metrics = file["metrics"]
    security = metrics["security"]
    found = None if security["high"] is None else security["high"] + security["medium"] + security["low"]
    yield f"{metrics['health_score']:.1f}"
    yield escape(printable(file["path"])) + (" [red](does not parse)[/red]" if "parse_error" in file else "")
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
        yield _graded(value, severity)


def _graded(value: float | None, severity: str | None) -> str:
    if value is None:
        return "[dim]-[/dim]"
    text = f"{value:.0f}"
    colour = {"medium": "yellow", "high": "red"}.get(severity or "")
    return f"[{colour}]{text}[/{colour}]" if colour else text


def show_document(console: Console, document: Mapping[str, JSON]) -> None:
    """A whole result: metrics, worst files, errors, and what was skipped."""
    console.print(metrics_table(document))
    worst = worst_files_table(document)
    if worst is not None:
        console.print(worst)
    for line in document["errors"][:ERROR_LINES]:
        console.print(f"[yellow]![/yellow] {escape(line)}")
    if len(document["errors"]) > ERROR_LINES:
        console.print(f"[yellow]![/yellow] and {len(document['errors']) - ERROR_LINES} more (see --json)")
    skipped = document["completeness"]["skipped_total"]
    if skipped:
        console.print(f"{skipped} files or directories were left out (see completeness in --json)")


def show_jobs(console: Console, jobs: Sequence[Mapping[str, JSON]]) -> None:
    """A table of jobs, or one plain line where there is none."""
    if not jobs:
        console.print("no jobs")
        return
    table = Table()
    for heading in ("job", "status", "stage", "%", "attempt", "source", "created", "error"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        table.add_row(
            job["job_id"],
            job["status"],
            job["stage"] or "",
            str(job["progress"]),
            str(job["attempt"]),
            escape(printable(job["source"])),
            job["created_at"],
            escape(job["error_message"] or ""),
        )
    console.print(table)


_JOB_FACTS = (
    "job_id", "status", "source", "stage", "progress", "attempt", "created_at", "started_at", "finished_at",
    "result_run_id", "error_message",
)  # fmt: skip


def show_job(console: Console, job: Mapping[str, JSON]) -> None:
    """One job, a fact a line, then its failed attempts."""
    for name in _JOB_FACTS:
        if job[name] is not None:
            console.print(f"{name:<14} {escape(printable(str(job[name])))}")
    for error in job["attempt_errors"]:
        console.print(
            f"attempt {error['attempt']} failed at {error['at']}: {escape(error['kind'])}: {escape(error['message'])}"
        )
