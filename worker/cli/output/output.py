"""Where a command's answer goes: one JSON document, a table on a terminal, or plain lines in a pipe."""

import json
import sys
from dataclasses import dataclass

from rich.console import Console

from domain.text import JSON

PLAIN_WIDTH = 10_000
"""Nothing that a pipe reads is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a command answers on standard output; progress and errors go to standard error."""

    as_json: bool

    @property
    def console(self) -> Console:
        """Standard output, as wide as the terminal."""
        return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, emoji=False)

    def document(self, document: JSON) -> None:
        """One JSON document and nothing else; indented on a terminal alone, since that takes ten times as long."""
        escaped = (sys.stdout.encoding or "ascii").lower() not in ("utf-8", "utf8")
        indent = 2 if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(document, allow_nan=False, ensure_ascii=escaped, indent=indent) + "\n")

    def say(self, words: str) -> None:
        """One line of text, as it is."""
        print(words)
