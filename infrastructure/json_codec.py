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
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)
