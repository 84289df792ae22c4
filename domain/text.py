"""Escape unsafe characters before text reaches JSONB, a log, an error or a terminal.

PostgreSQL refuses NUL (22P05) and lone surrogates (22P02) in JSONB. Control and bidirectional characters can forge log
lines and terminal output. Escapes keep the information and have no effect.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

JSON = Any
"""None, bool, int, float, str, list of JSON or dict of str to JSON. `Any`, as a recursive type is hard to read."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, without tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u2028\u2029\ufeff"  # separators that some programs treat as line ends, and the BOM
    "\ud800-\udfff"  # lone surrogates
    # What is not shown at all (Unicode's Default_Ignorable_Code_Point), so that texts that differ look different.
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0f\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_UNUSUAL_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")
_LINE_ENDS = re.compile("[\t\n]")
_UNCHANGED_TYPES = frozenset({int, bool, type(None)})


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode represents it
        return f"\\x{code - 0xDC00:02x}"
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: str) -> str:
    r"""Return the text with every unsafe character except newline and tab as an escape such as `\x00`."""
    # Both are True for nearly all text, which saves the substitution.
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def printable_name(name: str) -> str:
    """Return what `printable` does, with spaces other than the usual one escaped too: names must not look alike."""
    return name if name.isascii() and name.isprintable() else _UNUSUAL_SPACES.sub(_escape, printable(name))


def printable_line(text: str) -> str:
    """Return what `printable` does, with newlines and tabs escaped too, so that a name cannot forge a line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def one_line(text: str, limit: int = 500) -> str:
    """Return the text as one printable line of at most `limit` characters; an ellipsis marks a cut."""
    if not (text.isascii() and text.isprintable()):
        text = _LINE_ENDS.sub(" ", printable(text))
        line = " ".join(text.split())
    else:  # nearly always, and mostly without anything to join
        line = text.strip(" ") if "  " not in text else " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@lru_cache(maxsize=1024, typed=True)
def _printable_key(key: object) -> str:
    """Cached, since documents repeat a few keys for each file."""
    return printable(str(key))


def safe_json(value: JSON) -> JSON:
    """Return a copy that PostgreSQL accepts as JSONB: keys and text printable, NaN and Infinity as null."""
    kind = type(value)  # checked first, since documents have very many values of these types
    if kind in _UNCHANGED_TYPES:
        return value
    if kind is str or isinstance(value, str):
        return printable(value)
    if kind is dict or isinstance(value, Mapping):
        return {_printable_key(key): safe_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [safe_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
