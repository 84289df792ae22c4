"""Text output of a project's trends."""

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.markup import escape

from domain.statistics.trends import LEAST_RUNS
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import print_line

_NUMBERS = ("first", "last", "per run", "p")


def show_trend(console: Console, document: Mapping[str, JSON]) -> None:
    """Print which runs the series has, one line for each number that changed, and what is left out."""
    for line in _head(document):
        print_line(console, line)
    grid = Grid(headings=("metric", "number", *_NUMBERS, "trend"), numbers=frozenset(_NUMBERS))
    for trend in document["trends"]:
        if min(trend["values"]) != max(trend["values"]):
            grid.rows.append(_row(trend))
    if grid.rows:
        console.print()
        grid.show(console)
        console.print()
    for line in _footnotes(document, len(grid.rows)):
        print_line(console, line)


def _head(document: Mapping[str, JSON]) -> Iterator[str]:
    runs = document["runs"]
    branch = f", branch {document['branch']}" if document["branch"] is not None else ""
    period = f" from {runs[0]['created_at'][:10]} to {runs[-1]['created_at'][:10]}" if runs else ""
    yield f"{document['project']}{branch}: {len(runs)} comparable {'run' if len(runs) == 1 else 'runs'}{period}"
    if document["break_reason"] is not None:
        yield f"no earlier run counts: {document['break_reason']}"


def _row(trend: Mapping[str, JSON]) -> tuple[str, ...]:
    slope, p_value, values = trend["slope_per_run"], trend["p_value"], trend["values"]
    numbers = (_shown(values[0]), _shown(values[-1]), "-" if slope is None else f"{slope:+.3g}")
    direction = "-" if slope is None else "none that is clear"
    if trend["significant"]:  # the test sees a direction that a median of equal steps may not show
        direction = "rises" if slope > 0 else "falls" if slope < 0 else "changes in less than half of the runs"
    p_text = "-" if p_value is None else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
    return (*(escape(printable_line(trend[key])) for key in ("metric", "key")), *numbers, p_text, direction)


def _shown(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _footnotes(document: Mapping[str, JSON], changed: int) -> Iterator[str]:
    same = len(document["trends"]) - changed
    if same:
        yield f"{same} {'number is' if same == 1 else 'numbers are'} the same in all runs"
    if document["runs"] and len(document["runs"]) < LEAST_RUNS:
        yield f"a trend is told from {LEAST_RUNS} runs on; one run of each commit counts"
