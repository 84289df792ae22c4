"""The form in which a tally of commits is cached. It holds names of authors, and keyed hashes of their addresses."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Any

import msgpack

from collectors.history.commit_tally import (
    ASSISTED,
    BOT,
    LARGE,
    NOT_COUPLED,
    CommitColumns,
    CommitTally,
    Person,
    is_counted,
)
from domain.history.commits import LATEST_DATE
from domain.ports import History

FORMAT = 2
TALLY_BYTES_LIMIT = 2 << 20
"""Size of a packed tally. A larger one is not cached."""

_UNPACKED_BYTES_LIMIT = 64 << 20
_COMPRESSION_LEVEL = 1
_LARGEST_COUNT = 1 << 53
_ALL_FLAGS = BOT | LARGE | NOT_COUPLED | ASSISTED


def pack_tally(tally: CommitTally, history: History, git: str) -> bytes | None:
    """Return the tally as bytes for the cache; None where it is too large, or later commits could not be added to it.

    `git` is git's version.
    """
    if tally.columns is None or tally.other_churn or history.is_shallow():
        return None
    entry = [
        FORMAT, git, history.path_scope(), tally.head, tally.now, tally.key_commit, tally.commits, tally.merges,
        list(tally.paths), tally.churn, list(tally.people), [column.tobytes() for column in tally.columns.columns()],
    ]  # fmt: skip
    packed = msgpack.packb(entry, use_bin_type=True, unicode_errors="surrogatepass")
    compressed = zlib.compress(packed, _COMPRESSION_LEVEL)
    return compressed if len(packed) <= _UNPACKED_BYTES_LIMIT and len(compressed) <= TALLY_BYTES_LIMIT else None


def unpack_tally(packed: bytes | memoryview, history: History, git: str) -> CommitTally | None:
    """Reverse `pack_tally`; None for invalid data, another format, another git, or another view of the history."""
    entry = _decode(packed)
    if not isinstance(entry, list) or len(entry) != 12 or entry[:3] != [FORMAT, git, history.path_scope()]:
        return None
    head, now, key_commit, commits, merges, paths, churn, people, packed_columns = entry[3:]
    if not (isinstance(head, str) and isinstance(key_commit, str) and _are_paths(paths) and _are_people(people)):
        return None
    if not (_are_counts([now, commits, merges]) and _are_counts(churn) and len(churn) == len(paths)):
        return None
    columns = _unpack_columns(packed_columns)
    if now > LATEST_DATE or columns is None or not _are_valid(columns, len(people), len(paths)):
        return None
    return CommitTally(
        head=head,
        now=now,
        key_commit=key_commit,
        commits=commits,
        merges=merges,
        paths={path: index for index, path in enumerate(paths)},
        churn=churn,
        people={Person(*person): index for index, person in enumerate(people)},
        columns=columns,
    )


def _decode(packed: bytes | memoryview) -> Any:
    """Return the entry; None for data that is damaged, or that grows beyond a limit when it is unpacked."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, _UNPACKED_BYTES_LIMIT)
        whole = stream.eof and not stream.unused_data
        return msgpack.unpackb(plain, raw=False, unicode_errors="surrogatepass") if whole else None
    except (zlib.error, ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None


def _are_paths(paths: Any) -> bool:
    return (
        isinstance(paths, list)
        and set(map(type, paths)) <= {str}
        and len(set(paths)) == len(paths)
        and all(map(is_counted, paths))
    )


def _are_people(people: Any) -> bool:
    if not isinstance(people, list) or not set(map(type, people)) <= {list} or not set(map(len, people)) <= {2}:
        return False
    keys, names = [person[0] for person in people], [person[1] for person in people]
    typed = set(map(type, keys)) <= {bytes} and set(map(type, names)) <= {str}
    return typed and len(set(zip(keys, names, strict=True))) == len(people)


def _unpack_columns(packed: Any) -> CommitColumns | None:
    """Return the columns; None where they have another number, or a part of an item."""
    empty = CommitColumns()
    columns = empty.columns()
    if not isinstance(packed, list) or len(packed) != len(columns) or not set(map(type, packed)) <= {bytes}:
        return None
    if any(len(data) % column.itemsize for data, column in zip(packed, columns, strict=True)):
        return None
    for data, column in zip(packed, columns, strict=True):
        column.frombytes(data)
    return empty


def _are_valid(columns: CommitColumns, people: int, paths: int) -> bool:
    """Return whether lengths agree and every index exists."""
    renames = columns.renames
    ends: Sequence[array[int]] = (renames[1::3], renames[2::3])
    return (
        len(columns.at) == len(columns.people) == len(columns.flags) == len(columns.added) == len(columns.sizes)
        and len(columns.changed) == len(columns.lines) == sum(columns.sizes)
        and len(renames) % 3 == 0
        and max(columns.flags, default=0) <= _ALL_FLAGS
        and max(columns.people, default=-1) < people
        and max(columns.changed, default=-1) < 2 * paths
        and all(_are_between(dates, LATEST_DATE) for dates in (columns.at, renames[::3]))
        and all(_are_between(indexes, paths - 1) for indexes in ends)
    )


def _are_between(values: array[int], most: int) -> bool:
    return not values or (min(values) >= 0 and max(values) <= most)


def _are_counts(values: Any) -> bool:
    if not isinstance(values, list) or not set(map(type, values)) <= {int}:
        return False
    # The sum is checked too: msgpack cannot encode a larger one, and the pool process would fail to return it.
    return min(values, default=0) >= 0 and sum(values) < _LARGEST_COUNT
