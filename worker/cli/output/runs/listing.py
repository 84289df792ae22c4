"""Text output of a list of runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from domain.gate.evaluation import Verdict
from domain.tags import tag_lines
from domain.text import JSON, one_line
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID, format_age
from worker.cli.output.writer import print_line

VERDICT_WORDS: Mapping[str | None, str] = {
    Verdict.APPROVED: "[green]approved[/green]",
    Verdict.REJECTED: "[red]rejected[/red]",
}
"""Texts of the column; a run without a verdict, or without an earlier run to be judged by, has none."""


def show_runs(console: Console, runs: Sequence[Mapping[str, JSON]], now: datetime) -> None:
    """Print one line for each run, or `no runs`."""
    if not runs:
        print_line(console, "no runs")
        return
    tagged = any(run["tags"] for run in runs)
    headings = ("run", "age", "took", "files", "quality", "gate", "branch", "commit", "source")
    grid = Grid(
        headings=(*headings, "tags") if tagged else headings,
        numbers=frozenset({"age", "took", "files", "quality"}),
    )
    for run in runs:
        source = run["source"]
        age = (now - datetime.fromisoformat(source["created_at"])).total_seconds()
        name = source["git_repo_url"] or source["project_name"] or source["upload_filename"]
        grid.rows.append(
            (
                source["run_id"][:SHORT_ID],
                format_age(age),
                f"{run['duration_ms'] / 1000:.1f} s",
                str(run["completeness"].get("files", "?")),
                "-" if run["quality_score"] is None else f"{run['quality_score']:.1f}",
                VERDICT_WORDS.get(run["review_verdict"], "-"),
                escape(one_line(source["git_branch"] or "-", 40)),
                escape((source["git_commit_sha"] or "-")[:SHORT_ID]),
                escape(one_line(str(name), 80)),
                *([escape(one_line(", ".join(tag_lines(run["tags"])), 80))] if tagged else ()),
            )
        )
    grid.show(console)
