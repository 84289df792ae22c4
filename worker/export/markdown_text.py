"""Text in GitHub's Markdown that keeps hostile text as text."""

import re
from collections.abc import Iterator, Sequence

from domain.text import one_line

_BACKTICKS = re.compile("`+")
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def code(text: str, limit: int) -> str:
    """Return a code span of at most `limit` characters of the text. It is not for tables, where `|` ends a cell."""
    shown = one_line(text, limit) or " "
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(shown)), default=0))
    # The reader drops one space on either side; without them, backticks of the text would join the fence.
    space = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{space}{shown}{space}{fence}"


def plain(text: str) -> str:
    """Return words of our own as one line without markup: what would be a tag, a link or a mention is escaped."""
    # A mention or an address is found after the escapes of Markdown are undone, so these two are changed.
    escaped = _SPECIAL.sub(r"\\\1", one_line(text)).replace("@", "(at)").replace("://", ": //")
    return "".join(_HTML.get(char, char) for char in escaped)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. The cells must be escaped already."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
