"""A lexed file as compact facts that any process can compare: about four bytes a token."""

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
_TYPECODES = {code: 256 ** array(code).itemsize for code in "BHI"}


def pack_file(lexed: LexedFile) -> dict[str, Any]:
    """`{digests, tokens, anchors, blocks, per_line, tall, hidden}` for msgpack.

    Arrays are `[typecode, bytes]`, in native byte order.

    `digests` are 64 bits of BLAKE2b for each distinct token, one after another, and `tokens` index into them;
    `anchors` and `blocks` come from `compute_fingerprints`; `per_line` counts the tokens that begin on each line;
    `tall` holds pairs of a distinct token and the number of its line breaks.
    """
    counts = Counter(lexed.start_lines)
    last = lexed.start_lines[-1] if lexed.start_lines else 0
    tall = [number for pair in enumerate(lexed.line_breaks) if pair[1] for number in pair]
    digests = b"".join(map(_digest, lexed.images()))
    anchors, blocks = compute_fingerprints(lexed.tokens, array("Q", digests))
    return {
        "digests": digests,
        "tokens": _packed(lexed.tokens),
        "anchors": _packed(anchors),
        "blocks": _packed(blocks),
        "per_line": _packed([counts[line] for line in range(1, last + 1)]),
        "tall": _packed(tall),
        "hidden": lexed.suppressed_lines,
    }


def _digest(image: str) -> bytes:
    return blake2b(image.encode(), digest_size=_DIGEST_BYTES).digest()


def _packed(values: Sequence[int]) -> list[Any]:
    highest = max(values, default=0)
    code = next(code for code, limit in _TYPECODES.items() if highest < limit)
    return [code, array(code, values).tobytes()]


def _unpacked(packed: Iterable[Any]) -> "array[int]":
    code, data = packed
    return array(code, data)


def _is_packed(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in ("B", "H", "I"):
        return False
    return type(value[1]) is bytes and len(value[1]) % array(value[0]).itemsize == 0


_PARTS = record(
    {
        "digests": Schema(lambda value: type(value) is bytes and len(value) % _DIGEST_BYTES == 0),
        "tokens": Schema(_is_packed),
        "anchors": Schema(_is_packed),
        "blocks": Schema(_is_packed),
        "per_line": Schema(_is_packed),
        "tall": Schema(_is_packed),
        "hidden": single(counts),
    }
)


def _fit_together(value: Any) -> bool:
    """Whether each token is one of the distinct ones, and lies on a line; whether each block lies in the file."""
    if not _PARTS.matches(value):
        return False
    tokens, lines, tall = (_unpacked(value[name]) for name in ("tokens", "per_line", "tall"))
    anchors, blocks = (_unpacked(value[name]) for name in ("anchors", "blocks"))
    distinct = len(value["digests"]) // _DIGEST_BYTES
    return (
        max(tokens, default=-1) < distinct
        and sum(lines) == len(tokens)
        and len(tall) % 2 == 0
        and len(anchors) == len(blocks)
        and max(anchors, default=-FINGERPRINT_TOKENS) + FINGERPRINT_TOKENS <= len(tokens)
    )


PACKED_SCHEMA = Schema(_fit_together)
"""What `pack_file` gives."""


class PackedFile:
    """One file's facts, opened again."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.digests = array("Q", facts["digests"])
        self.tokens = _unpacked(facts["tokens"])
        self.anchors = _unpacked(facts["anchors"])
        self.fingerprints = _unpacked(facts["blocks"])
        self.suppressed_lines: int = facts["hidden"]
        self._per_line = facts["per_line"]
        self._tall = facts["tall"]
        self._begun: list[int] = []
        self._heights: dict[int, int] = {}

    def line_range(self, first: int, last: int) -> tuple[int, int]:
        """The line on which the first token begins and that on which the last one ends; tokens count from 0."""
        if not self._begun:
            self._begun = list(accumulate(_unpacked(self._per_line)))
            tall = _unpacked(self._tall)
            self._heights = dict(zip(tall[::2], tall[1::2], strict=True))
        start, stop = (bisect_right(self._begun, token) + 1 for token in (first, last))
        return start, stop + self._heights.get(self.tokens[last], 0)
