"""Text output of the audit log."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, one_line
from infrastructure.json_codec import dumps
from worker.cli.output.grid import Grid
from worker.cli.output.writer import print_line


def show_entries(console: Console, entries: Sequence[Mapping[str, JSON]]) -> None:
    """Print one line for each entry, or `no entries`."""
    if not entries:
        print_line(console, "no entries")
        return
    grid = Grid(headings=("time", "user", "action", "what", "address", "details"))
    for entry in entries:
        moment = datetime.fromisoformat(entry["created_at"]).astimezone(UTC)
        what = " ".join(word for word in (entry["resource_type"], entry["resource_id"]) if word)
        details = dumps(entry["details"]).decode() if entry["details"] else ""
        grid.rows.append(
            (
                f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                entry["user_id"] or "-",
                escape(one_line(entry["action"], 40)),
                escape(one_line(what, 80)),
                entry["ip_address"] or "-",
                escape(one_line(details, 200)),
            )
        )
    grid.show(console)
