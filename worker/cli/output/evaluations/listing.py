"""Text output of lists: evaluations, and the projects of one that has not ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, one_line
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID, format_age
from worker.cli.output.writer import print_line


def show_evaluations(console: Console, evaluations: Sequence[Mapping[str, JSON]], now: datetime) -> None:
    """Print one line for each evaluation, or `no evaluations`."""
    if not evaluations:
        print_line(console, "no evaluations")
        return
    grid = Grid(
        headings=("evaluation", "age", "status", "projects", "model", "name"), numbers=frozenset({"age", "projects"})
    )
    for evaluation in evaluations:
        age = (now - datetime.fromisoformat(evaluation["created_at"])).total_seconds()
        grid.rows.append(
            (
                evaluation["evaluation_id"][:SHORT_ID],
                format_age(age),
                evaluation["status"],
                str(evaluation["projects"]),
                escape(one_line(evaluation["model_name"] or "-", 40)),
                escape(one_line(evaluation["name"], 80)),
            )
        )
    grid.show(console)


def show_members(console: Console, document: Mapping[str, JSON]) -> None:
    """Print how far an evaluation and each of its projects is."""
    members = document["members"]
    ended = sum(member["state"] not in ("pending", "running") for member in members)
    print_line(console, f"{document['name']}: {document['status']}, {ended} of {len(members)} projects have ended")
    grid = Grid(headings=("job", "state", "author", "task", "source"))
    for member in members:
        texts = (escape(one_line(member[key] or "-", 60)) for key in ("author", "task", "source"))
        grid.rows.append((member["job_id"][:SHORT_ID], member["state"], *texts))
    console.print()
    grid.show(console)
