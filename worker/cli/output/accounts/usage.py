"""Text output of a plan and what is used of it."""

from datetime import UTC, datetime

from rich.console import Console

from domain.plans import MAX_UPLOAD_MB
from worker.cli.output.grid import Grid
from worker.cli.output.writer import print_line
from worker.client import UserUsage


def show_usage(console: Console, found: UserUsage) -> None:
    """Print the plan, and a line for each limit: used, limit, what is left, and when it begins again."""
    usage, limits = found.usage, found.limits
    month, day = _moment(usage.month_ends), _moment(usage.day_ends)
    print_line(console, f"plan {limits.tier}, month {usage.month} (UTC)")
    grid = Grid(headings=("what", "used", "limit", "left", "again at"), numbers=frozenset({"used", "limit", "left"}))
    for what, used, limit, again in (
        ("analyses this month", usage.analyses, limits.analyses_per_month, month),
        ("reports this month", usage.reports, limits.reports_per_month, month),
        ("jobs today", usage.today, limits.jobs_per_day, day),
        ("unfinished jobs", usage.unfinished, limits.unfinished_jobs, "-"),
        ("tracked repositories (most this month)", usage.repositories, limits.repositories, "-"),
    ):
        left = "-" if limit is None else str(max(0, limit - used))
        grid.rows.append((what, str(used), "unlimited" if limit is None else str(limit), left, again))
    grid.rows.append(("MB of an upload", "-", str(limits.upload_mb or MAX_UPLOAD_MB), "-", "-"))
    grid.show(console)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
