"""Values of a result's document as the report shows them: read without trust, and formatted."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.text import JSON, one_line, printable_line

TEXT_LIMIT = 300
PATH_LIMIT = 160
NOT_MEASURED = "not measured"

_LARGEST = 1e15
"""Numbers beyond are no measurements; they are shown as not measured."""

_LONG_NUMBER = re.compile(r"(?<![\d.])\d{4,15}(?![\d.]*\.\d)\b")


def mapping(value: JSON) -> Mapping[str, Any]:
    """Return the object; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def objects(value: JSON) -> list[Mapping[str, Any]]:
    """Return the objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def texts(value: JSON) -> list[str]:
    """Return the texts of a list, each as one printable line; empty for anything else."""
    return [line(item) for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def number(value: JSON) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _LARGEST else None  # NaN is not less than anything


def count(value: JSON) -> int | None:
    """Return a whole number of things, from 0; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 0 and found == int(found) else None


def line(value: JSON, limit: int = TEXT_LIMIT) -> str:
    """Return a text as one printable line of at most `limit` characters; empty for anything else."""
    return one_line(value, limit) if isinstance(value, str) else ""


def path_text(value: JSON, limit: int = PATH_LIMIT) -> str:
    """Return a path of at most `limit` characters, of which the end is kept; empty for anything else."""
    if not isinstance(value, str):
        return ""
    shown = printable_line(value)
    return shown if len(shown) <= limit else "…" + shown[1 - limit :]


def place(path: str, line_number: JSON, column: JSON = None) -> str:
    """Return `path:line:column`, as far as it is known."""
    return ":".join([path_text(path), *(str(part) for part in (count(line_number), count(column)) if part)])


def fixed(value: float | None, digits: int = 1, unknown: str = NOT_MEASURED) -> str:
    """Return a number with thousands separators and this many decimals."""
    if value is None:
        return unknown
    shown = f"{value:,.{digits}f}"
    return shown.removeprefix("-") if not shown.strip("-0.,") else shown


def plain_number(value: float | None, unknown: str = "") -> str:
    """Return a number with as many decimals as it needs, at most two."""
    if value is None:
        return unknown
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0").rstrip(".")


def counted(total: int, noun: str, plural: str | None = None) -> str:
    """Return the number and the noun, in the plural but for one."""
    return f"{total:,} {noun}" if total == 1 else f"{total:,} {plural or noun + 's'}"


def cut(shown: int, total: int) -> str | None:
    """Return `200 of 1,509` for a list that was cut; None for one that was not."""
    return f"{shown:,} of {total:,}" if shown < total else None


def words(name: str) -> str:
    """Return a name such as `dead_code` as words."""
    return line(name, 60).replace("_", " ")


def grouped(text: str) -> str:
    """Return a text of our own with thousands separators in its whole numbers."""
    return _LONG_NUMBER.sub(lambda match: f"{int(match.group()):,}", text)


def moment(value: JSON) -> str | None:
    """Return a time as `2026-11-30 19:17 UTC`; a text that is none as it is; None for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return line(value, 40) or None
    if not isinstance(value, datetime):
        return None
    try:
        return (value if value.tzinfo is None else value.astimezone(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return None
