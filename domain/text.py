"""Make hostile text harmless before it reaches JSONB, a log, an error or a terminal.

PostgreSQL refuses NUL (22P05) and lone surrogates (22P02) in JSONB; control and bidirectional characters make
logs and terminals lie. All of them are shown as escapes, so that nothing is lost and nothing acts.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

JSON = Any
"""None, bool, int, float, str, list of JSON or dict of str to JSON. `Any`, since recursion helps no reader."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, without tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u2028\u2029\ufeff"  # separators that some readers take for line ends; a stray BOM
    "\ud800-\udfff]"  # lone surrogates
)
_LINE_ENDS = re.compile("[\t\n]")
_AS_THEY_ARE = frozenset({int, bool, type(None)})


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: str) -> str:
    r"""The text with every unsafe character, newlines and tabs excepted, shown as an escape such as `\x00`."""
    # None of these characters is printable to Python, and nearly all text is.
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def printable_line(text: str) -> str:
    """As `printable`, newlines and tabs shown as escapes too: a name cannot begin a line of its own."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def one_line(text: str, limit: int = 500) -> str:
    """The text as one printable line of at most `limit` characters, the cut marked with an ellipsis."""
    if not text.isprintable():
        text = _LINE_ENDS.sub(" ", printable(text))
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_json(value: JSON) -> JSON:
    """A copy of the value that PostgreSQL accepts as JSONB: text printable, keys too, NaN and Infinity null."""
    kind = type(value)  # documents have very many values, and nearly all are of the first kinds
    if kind in _AS_THEY_ARE:
        return value
    if kind is str or isinstance(value, str):
        return printable(value)
    if kind is dict or isinstance(value, Mapping):
        return {printable(str(key)): safe_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [safe_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
