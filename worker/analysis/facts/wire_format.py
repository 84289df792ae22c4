"""Wire format of cached facts between the worker and the child that collects: names and entries, alternating.

The analysed code may have taken over the child. So the worker decodes nothing but plain byte strings, whose lengths the
attachment's own length limits.
"""

from collections.abc import Mapping

import msgpack

HISTORY_KEY = b"/churn"
"""Name of the facts about the commits of the analysed branch. No relative path of a file starts with a slash."""

LATEST_HISTORY_KEY = HISTORY_KEY + b"/"
"""Name of the facts about the commits of the branch that was analysed last."""


def pack(entries: Mapping[bytes, bytes]) -> bytes:
    """Encode entries by name as one attachment."""
    return b"".join(msgpack.packb(part, use_bin_type=True) for pair in entries.items() for part in pair)


def unpack(attachment: bytes) -> dict[bytes, bytes]:
    """Decode an attachment. Raises ValueError for anything that `pack` does not produce."""
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
