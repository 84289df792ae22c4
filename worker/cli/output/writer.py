"""Where a command's output goes: one JSON document, a table on a terminal, or plain lines in a pipe."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.text import JSON, printable_line
from infrastructure.json_codec import dumps

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 10_000
"""Width of the output in a pipe, in columns: no line is wrapped there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputWriter:
    """Writes a command's result to standard output. Progress and errors go to standard error."""

    as_json: bool

    @property
    def console(self) -> "Console":
        """Standard output, as wide as the terminal."""
        from rich.console import Console  # not needed for JSON

        return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, emoji=False)

    def print_json(self, document: JSON) -> None:
        """Print one JSON document. It is indented on a terminal only, because that takes much longer."""
        escaped = (sys.stdout.encoding or "ascii").lower() not in ("utf-8", "utf8")
        if escaped or sys.stdout.isatty():
            indent = 2 if sys.stdout.isatty() else None
            text = json.dumps(document, allow_nan=False, ensure_ascii=escaped, indent=indent)
        else:
            text = dumps(document).decode()
        sys.stdout.write(text + "\n")

    def print_line(self, text: str) -> None:
        """Print one line of text unchanged."""
        print(text)


def print_line(console: "Console", line: str) -> None:
    """Print one line unchanged: nothing in it is read as markup."""
    console.print(printable_line(line), markup=False, soft_wrap=True)
