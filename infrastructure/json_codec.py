"""JSON encoding and decoding with orjson, and with the standard library for text that is not valid Unicode."""

import json
from typing import Any

import orjson


def dumps(value: Any) -> bytes:
    """Encode a value as JSON. Raises ValueError or TypeError if JSON cannot represent it."""
    try:
        return orjson.dumps(value)
    except TypeError:  # also for lone surrogates, which the standard library escapes
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Any:
    """Decode JSON that either library has written. Raises ValueError or RecursionError."""
    return _loads(data)


def loads_untrusted(data: bytes, max_values: int) -> Any:
    """Decode JSON that may be hostile: three bytes can become a hundred in memory.

    Raises ValueError, before anything is built, if it may have more than `max_values` values: each but the first of a
    container follows a comma. Commas in texts count, too. A value takes up to 150 bytes beside its text.
    """
    values = data.count(b",") + data.count(b"{") + data.count(b"[")
    if values > max_values:
        raise ValueError(f"the JSON document has more than {max_values} values")
    return _loads(data)


def _loads(data: bytes | str) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)
