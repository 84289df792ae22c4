"""A lexed file as compact facts that any process can compare: about four bytes per token."""

import sys
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any

from collectors.cpd.fingerprints import FINGERPRINT_TOKENS, compute_fingerprints
from collectors.cpd.lexer import LexedFile
from collectors.schemas import Schema, counts, record, single

_DIGEST_BYTES = 8
_TYPECODE_LIMITS = {code: 256 ** array(code).itemsize for code in "BHI"}


def pack_file(lexed: LexedFile) -> dict[str, Any]:
    """Return plain data for msgpack, with arrays as `[typecode, bytes]` in native byte order.

    - `digests`: 64 bits of BLAKE2b per distinct token, concatenated.
    - `tokens`: the file's tokens, as indexes into `digests`.
    - `anchors`, `fingerprints`: the result of `compute_fingerprints`.
    - `tokens_per_line`: how many tokens begin on each line.
    - `line_breaks`: pairs of a distinct token and the number of line breaks in it, where there are any.
    - `suppressed_lines`: lines with a token that a `CPD-OFF` comment excludes.
    """
    tokens_per_line = Counter(lexed.start_lines)
    last_line = lexed.start_lines[-1] if lexed.start_lines else 0
    line_breaks = [number for pair in enumerate(lexed.line_breaks) if pair[1] for number in pair]
    digests = b"".join(map(_digest, lexed.images()))
    anchors, fingerprints = compute_fingerprints(lexed.tokens, array("Q", digests))
    return {
        "digests": digests,
        "tokens": _pack_array(lexed.tokens),
        "anchors": _pack_array(anchors),
        "fingerprints": _pack_array(fingerprints),
        "tokens_per_line": _pack_array([tokens_per_line[line] for line in range(1, last_line + 1)]),
        "line_breaks": _pack_array(line_breaks),
        "suppressed_lines": lexed.suppressed_lines,
    }


def _digest(image: str) -> bytes:
    return blake2b(image.encode(), digest_size=_DIGEST_BYTES).digest()


def _pack_array(values: Sequence[int]) -> list[Any]:
    highest = max(values, default=0)
    code = next(code for code, limit in _TYPECODE_LIMITS.items() if highest < limit)
    return [code, array(code, values).tobytes()]


def _unpack_array(packed: Iterable[Any]) -> "array[int]":
    code, data = packed
    return array(code, data)


def _are_all_below(limit: int, packed: Sequence[Any]) -> bool:
    """Return whether every item of a packed array is less than `limit`; without an object for each item, if possible.

    Of items of two bytes, those with the upper byte of the largest valid item must have no larger lower byte.
    """
    code, data = packed
    if code == "I" or not 0 < limit <= 1 << 16:
        return max(_unpack_array(packed), default=-1) < limit
    upper, lower = divmod(limit - 1, 256)
    if code == "B":
        return upper > 0 or not data.translate(None, bytes(range(lower + 1)))
    big_end = sys.byteorder == "big"
    uppers, lowers = data[not big_end :: 2], data[big_end::2]
    if uppers.translate(None, bytes(range(upper + 1))):
        return False
    has_largest_upper = uppers.translate(bytes(upper) + b"\xff" + bytes(255 - upper))
    has_larger_lower = lowers.translate(bytes(lower + 1) + b"\xff" * (255 - lower))
    return not int.from_bytes(has_largest_upper) & int.from_bytes(has_larger_lower)


def _is_packed_array(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in ("B", "H", "I"):
        return False
    return type(value[1]) is bytes and len(value[1]) % array(value[0]).itemsize == 0


_FIELDS_SCHEMA = record(
    {
        "digests": Schema(lambda value: type(value) is bytes and len(value) % _DIGEST_BYTES == 0),
        "tokens": Schema(_is_packed_array),
        "anchors": Schema(_is_packed_array),
        "fingerprints": Schema(_is_packed_array),
        "tokens_per_line": Schema(_is_packed_array),
        "line_breaks": Schema(_is_packed_array),
        "suppressed_lines": single(counts),
    }
)


def _is_consistent(value: Any) -> bool:
    """Return whether each token has a digest and a line, and each fingerprinted run lies within the file."""
    if not _FIELDS_SCHEMA.matches(value):
        return False
    tokens, tokens_per_line = _unpack_array(value["tokens"]), _unpack_array(value["tokens_per_line"])
    anchors, fingerprints = _unpack_array(value["anchors"]), _unpack_array(value["fingerprints"])
    return (
        _are_all_below(len(value["digests"]) // _DIGEST_BYTES, value["tokens"])
        and sum(tokens_per_line) == len(tokens)
        and len(_unpack_array(value["line_breaks"])) % 2 == 0
        and len(anchors) == len(fingerprints)
        and max(anchors, default=-FINGERPRINT_TOKENS) + FINGERPRINT_TOKENS <= len(tokens)
    )


PACKED_SCHEMA = Schema(_is_consistent)
"""Schema of what `pack_file` returns."""


class PackedFile:
    """The facts of one file, unpacked. Line numbers are computed on first use."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.digests = array("Q", facts["digests"])
        self.tokens = _unpack_array(facts["tokens"])
        self.anchors = _unpack_array(facts["anchors"])
        self.fingerprints = _unpack_array(facts["fingerprints"])
        self.suppressed_lines: int = facts["suppressed_lines"]
        self._tokens_per_line = facts["tokens_per_line"]
        self._packed_line_breaks = facts["line_breaks"]
        self._tokens_up_to_line: list[int] = []
        self._line_breaks: dict[int, int] = {}

    def line_range(self, first: int, last: int) -> tuple[int, int]:
        """Return the line on which token `first` begins and the line on which token `last` ends.

        Tokens are counted from 0, lines from 1.
        """
        if not self._tokens_up_to_line:
            self._tokens_up_to_line = list(accumulate(_unpack_array(self._tokens_per_line)))
            pairs = _unpack_array(self._packed_line_breaks)
            self._line_breaks = dict(zip(pairs[::2], pairs[1::2], strict=True))
        start, stop = (bisect_right(self._tokens_up_to_line, token) + 1 for token in (first, last))
        return start, stop + self._line_breaks.get(self.tokens[last], 0)
