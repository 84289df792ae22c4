"""Checks of what Redis holds: other programs can write there, so no value is trusted.

A value that is not what this program writes is skipped, and a key of the wrong type is replaced.
"""

import json
from typing import Any

MAX_OBJECT_BYTES = 64 * 1024
"""Longer messages and entries are skipped; a worker's entry with a thousand jobs has 40 KB."""

KEEP_TYPE = """
local function keep_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then redis.call('DEL', key) end
end
"""
"""Lua function that deletes a key of another type than the wanted one, for the scripts that use the key."""


def read_object(data: Any) -> dict[str, Any] | None:
    """Decode a JSON object; None for anything else."""
    if not isinstance(data, bytes | str) or len(data) > MAX_OBJECT_BYTES:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_int(value: Any, limit: int) -> bool:
    """Return whether the value is an integer from 0 to below the limit; a boolean is none."""
    return type(value) is int and 0 <= value < limit
