"""Wire format of cached facts between the worker and the child that collects: names and entries, alternating.

An attachment is the number of these parts, the length of each, and all of them; numbers have four bytes, in native byte
order. The analysed code may have taken over the child. So the worker decodes nothing but plain byte strings, whose
lengths the attachment's own length limits.
"""

from array import array
from collections.abc import Mapping
from itertools import accumulate, pairwise

HISTORY_KEY = b"/churn"
"""Name of the facts about the commits of the analysed branch. No relative path of a file starts with a slash."""

LATEST_HISTORY_KEY = HISTORY_KEY + b"/"
"""Name of the facts about the commits of the branch that was analysed last."""

_NUMBER_BYTES = array("I").itemsize


def pack(entries: Mapping[bytes, bytes | memoryview]) -> bytes:
    """Encode entries by name as one attachment."""
    parts = [part for pair in entries.items() for part in pair]
    return b"".join([array("I", [len(parts), *map(len, parts)]), *parts])


def unpack(attachment: bytes) -> dict[bytes, memoryview]:
    """Decode an attachment to entries that are views of it. Raises ValueError for what `pack` does not produce."""
    if len(attachment) < _NUMBER_BYTES:
        raise ValueError("not an attachment")
    (count,) = array("I", attachment[:_NUMBER_BYTES])
    start = _NUMBER_BYTES * (count + 1)
    lengths = attachment[_NUMBER_BYTES:start]
    if count % 2 or start > len(attachment):
        raise ValueError("not an attachment")
    ends = list(accumulate(array("I", lengths), initial=start))
    if ends[-1] != len(attachment):
        raise ValueError("not an attachment")
    view = memoryview(attachment)
    parts = [view[first:end] for first, end in pairwise(ends)]
    return {bytes(name): entry for name, entry in zip(parts[::2], parts[1::2], strict=True)}


NO_ENTRIES = pack({})
