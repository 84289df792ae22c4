"""JSON encoding and decoding with orjson, and with the standard library for text that is not valid Unicode."""

import json
import math
import re
from typing import Any

import orjson

from domain.text import printable, safe_json

_ESCAPED_CONTROL = re.compile(r"\\[bfru]")
"""What JSON text has in the place of a control character other than tab and newline; other backslashes may match too.
"""


def dumps(value: Any) -> bytes:
    """Encode a value as JSON. Raises ValueError or TypeError if JSON cannot represent it."""
    try:
        return orjson.dumps(value)
    except TypeError:  # also for lone surrogates, which the standard library escapes
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def dumps_for_jsonb(value: Any) -> str:
    """Encode a value as JSON that PostgreSQL accepts as JSONB, as `dumps(safe_json(value))` does.

    Nearly all documents have nothing that `safe_json` changes, and their JSON shows it at once: copying them value by
    value would take ten times as long as encoding them. Raises ValueError or TypeError if JSON cannot represent them.
    """
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # also for keys that are not text, and for mappings other than dict
        text = ""
    if text and printable(text) == text and not _ESCAPED_CONTROL.search(text):
        return text
    return dumps(safe_json(value)).decode()


def loads(data: bytes | str) -> Any:
    """Decode JSON that either library has written. Raises ValueError or RecursionError."""
    return _loads(data)


def loads_untrusted(data: bytes, max_values: int) -> Any:
    """Decode JSON that may be hostile.

    Raises ValueError or RecursionError: also for NaN and infinity, and, before anything is built, if it may have more
    than `max_values` values.
    """
    return loads_counted(data, max_values)[0]


def loads_counted(data: bytes, max_values: int) -> tuple[Any, int]:
    """Return what `loads_untrusted` does, and how many values it has at most. Raises as that does."""
    values = count_values(data)
    if values > max_values:
        raise ValueError(f"the JSON document has more than {max_values} values")
    return _loads(data, parse_constant=_finite, parse_float=_finite), values


def count_values(data: bytes) -> int:
    """Return how many values a JSON document has at most; three bytes of it can become a hundred in memory.

    Each value but the first of a container follows a comma. Commas in texts count, too. A value takes up to 150 bytes
    beside its text.
    """
    return data.count(b",") + data.count(b"{") + data.count(b"[")


def _loads(data: bytes | str, **options: Any) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data, **options)


def _finite(text: str) -> float:
    """Return a number. Raises ValueError for NaN and infinity, which the standard library reads."""
    if not math.isfinite(number := float(text)):
        raise ValueError("the JSON document has a number that is not finite")
    return number
