"""What worker and collecting child tell each other about remembered files: names and entries in a row, as bytes.

The child may have been taken over, so nothing is decoded here but plain byte strings, each within its limit.
"""

from collections.abc import Mapping

import msgpack

HISTORY_KEY = b"/churn"
"""The name of what is remembered of the commits; no file's relative path begins like this."""

LATEST_HISTORY_KEY = HISTORY_KEY + b"/"
"""The same of the branch that was looked at last, whichever that was."""


def pack(entries: Mapping[bytes, bytes]) -> bytes:
    """One attachment."""
    return b"".join(msgpack.packb(part, use_bin_type=True) for pair in entries.items() for part in pair)


def unpack(attachment: bytes) -> dict[bytes, bytes]:
    """The inverse. Raises ValueError for what `pack` does not make."""
    reader = msgpack.Unpacker(
        None, max_buffer_size=len(attachment) + 1, max_str_len=0, max_array_len=0, max_map_len=0, max_ext_len=0
    )
    reader.feed(attachment)
    try:
        parts = list(reader)
    except (msgpack.exceptions.UnpackException, ValueError) as error:
        raise ValueError("not an attachment") from error
    if reader.tell() != len(attachment) or len(parts) % 2 or not set(map(type, parts)) <= {bytes}:
        raise ValueError("not an attachment")
    return dict(zip(parts[::2], parts[1::2], strict=True))
