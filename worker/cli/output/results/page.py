"""Text output of a whole result: first what changed and what to do, then the numbers, then what is not known."""

from collections.abc import Mapping

from rich.console import Console

from domain.tags import tag_lines
from domain.text import JSON, printable_line
from worker.cli.output.results.files import hotspots_grid, worst_files_grid
from worker.cli.output.results.gaps import gap_lines
from worker.cli.output.results.insights import insights_grid
from worker.cli.output.results.metrics import metrics_grid
from worker.cli.output.results.review import quality_line, show_changes, show_gate
from worker.cli.output.writer import OutputWriter, print_line

SHA_SHOWN = 12


def show_result(document: Mapping[str, JSON], output: OutputWriter) -> None:
    """Print a whole result, as JSON or as text."""
    if output.as_json:
        output.print_json(document)
    else:
        print_result(output.console, document)


def print_result(console: Console, document: Mapping[str, JSON]) -> None:
    """Print a whole result as text."""
    # Imported here, since collectors import their tools, which takes 0.15 s.
    from collectors.engine.discovery import declarations

    print_line(console, _headline(document))
    if tags := document.get("tags"):
        print_line(console, f"tags: {', '.join(tag_lines(tags))}")
    show_gate(console, document)
    if (line := quality_line(document)) is not None:
        console.print()
        print_line(console, line)
    show_changes(console, document)
    declared = declarations()
    for grid in (
        metrics_grid(document, declared),
        worst_files_grid(document, declared),
        hotspots_grid(document),
        insights_grid(document),
    ):
        if grid is not None:
            console.print()
            grid.show(console)
    console.print()
    for line in gap_lines(document):
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
