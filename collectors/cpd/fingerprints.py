"""Fingerprints of short token runs; two files without a fingerprint in common have no duplication in common.

A fingerprint is a hash of the 26 tokens that begin at an anchor. Anchors are chosen by the tokens alone, as in
winnowing (Schleimer, Wilkerson, Aiken: "Winnowing", SIGMOD 2003). Every window of 50 tokens contains a fingerprinted
run, and equal windows contain equal runs. So only windows around a fingerprint that occurs twice have to be compared.
"""

import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from collectors.cpd.windows import MINIMUM_TOKENS

RANK_COUNT = 8
"""Number of ranks that tokens are divided into. The tokens of the lowest rank become anchors first."""

_ANCHOR_SPAN = 25
"""Any 25 tokens in a row contain an anchor."""

FINGERPRINT_TOKENS = MINIMUM_TOKENS - _ANCHOR_SPAN + 1
TOKENS_BEFORE_ANCHOR = _ANCHOR_SPAN - 1
"""How many tokens before its anchor a window can begin at most."""

_RANKS = bytes((7, 0, 2, 5, 4, 1, 6, 3)) * (256 // RANK_COUNT)
"""Rank by the lowest byte of a digest; the most frequent tokens of Python (`self`, `,`, `=`, `(`) rank last."""

_LOW_BITS = 0xFFFF
_LOW_BYTES = 2
_LOW_BITS_OF_DIGEST = slice(0 if sys.byteorder == "little" else 3, None, 4)
_LOWEST_BYTE = slice(0 if sys.byteorder == "little" else 1, None, _LOW_BYTES)


def compute_fingerprints(tokens: Sequence[int], digests: Iterable[int]) -> tuple[list[int], list[int]]:
    """Return the anchors of a file, ascending, and the 32-bit fingerprint at each anchor.

    `tokens` are indexes into `digests`, the 64-bit digests of the distinct tokens. A fingerprint covers 16 bits of each
    token. Two different runs may have equal fingerprints, by chance or on purpose; this costs only time, because the
    windows themselves are compared later.
    """
    low_bits = [digest & _LOW_BITS for digest in digests]
    data = array("H", map(low_bits.__getitem__, tokens)).tobytes()
    last = len(tokens) - FINGERPRINT_TOKENS
    anchors = [anchor for anchor in sorted(_find_anchors(data[_LOWEST_BYTE].translate(_RANKS))) if anchor <= last]
    size = FINGERPRINT_TOKENS * _LOW_BYTES
    return anchors, [crc32(data[start : start + size]) for start in (anchor * _LOW_BYTES for anchor in anchors)]


def fingerprints_within(values: bytes) -> Iterator[tuple[int, int]]:
    """Yield position and fingerprint of each run that is fingerprinted wherever it occurs, in no order.

    That is the case if its first token has the lowest rank of 25: they decide that it is an anchor, whatever precedes
    them. `values` are 64-bit digests, one a token.
    """
    low_bits = memoryview(values).cast("H")[_LOW_BITS_OF_DIGEST].tobytes()
    ranks, size = low_bits[_LOWEST_BYTE].translate(_RANKS), FINGERPRINT_TOKENS * _LOW_BYTES
    for rank in range(RANK_COUNT):
        lowest_of_run = re.compile(b"\\x%02x(?=[\\x%02x-\\xff]{%d})" % (rank, rank, TOKENS_BEFORE_ANCHOR))
        for match in lowest_of_run.finditer(ranks):
            start = match.start() * _LOW_BYTES
            yield match.start(), crc32(low_bits[start : start + size])


def _find_anchors(ranks: bytes) -> list[int]:
    """Return every position whose rank is the lowest of some 25 positions in a row that contain it."""
    anchors: list[int] = []
    spans = [(0, len(ranks))]
    for rank in range(RANK_COUNT):
        lowest = re.compile(b"\\x%02x" % rank).finditer
        anchors += [match.start() for start, stop in spans for match in lowest(ranks, start, stop)]
        higher_run = re.compile(b"[\\x%02x-\\xff]{%d,}" % (rank + 1, _ANCHOR_SPAN)).finditer
        spans = [match.span() for start, stop in spans for match in higher_run(ranks, start, stop)]
    return anchors
