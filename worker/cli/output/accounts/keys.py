"""Text output of API keys."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from domain.keys import ApiKey, CreatedKey
from domain.text import one_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import OutputWriter, print_line


def show_created(output: OutputWriter, created: CreatedKey) -> None:
    """Print the key on the first line, alone, and what it is below."""
    key = created.key
    until = "until it is revoked" if key.expires_at is None else f"until {_moment(key.expires_at)}"
    output.print_line(created.text)
    output.print_line(
        f"id {key.key_id}, {', '.join(key.permissions)}, {key.rate_limit} requests an hour, valid {until}"
    )
    output.print_line("Keep it now: it is not stored, and cannot be shown again.")


def show_keys(console: Console, keys: Sequence[ApiKey], now: datetime) -> None:
    """Print one line for each key, or `no keys`."""
    if not keys:
        print_line(console, "no keys")
        return
    grid = Grid(
        headings=("id", "key", "state", "permissions", "an hour", "last used", "expires", "name"),
        numbers=frozenset({"an hour"}),
    )
    for key in keys:
        grid.rows.append(
            (
                str(key.key_id),
                f"v8_{key.prefix}",
                key.state(now),
                ",".join(key.permissions),
                str(key.rate_limit),
                "-" if key.last_used is None else _moment(key.last_used),
                "-" if key.expires_at is None else _moment(key.expires_at),
                escape(one_line(key.name)),
            )
        )
    grid.show(console)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
