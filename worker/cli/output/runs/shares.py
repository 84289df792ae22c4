"""Text output of shared reports."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from domain.reports import SharedReport
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID, format_age
from worker.cli.output.writer import print_line


def show_shares(console: Console, reports: Sequence[SharedReport], now: datetime) -> None:
    """Print one line for each report, or `no shared reports`."""
    if not reports:
        print_line(console, "no shared reports")
        return
    grid = Grid(
        headings=("code", "run", "age", "state", "views", "password", "expires"), numbers=frozenset({"age", "views"})
    )
    for report in reports:
        views = f"{report.view_count:,}" + ("" if report.max_views is None else f" of {report.max_views:,}")
        grid.rows.append(
            (
                report.code,
                str(report.run_id)[:SHORT_ID],
                format_age((now - report.created_at).total_seconds()),
                report.state(now),
                views,
                "yes" if report.has_password else "-",
                "-" if report.expires_at is None else report.expires_at.isoformat(timespec="seconds"),
            )
        )
    grid.show(console)
