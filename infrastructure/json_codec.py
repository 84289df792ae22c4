"""JSON by a fast library, and by the standard one for what the fast one does not know: text that is no Unicode."""

import json
from typing import Any

import orjson


def dumps(value: Any) -> bytes:
    """The value as JSON. Raises ValueError or TypeError for what is none."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Any:
    """The inverse, for whatever either of the two has written. Raises ValueError and RecursionError."""
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)
