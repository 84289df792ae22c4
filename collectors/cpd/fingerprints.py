"""Short runs of tokens, chosen by the tokens alone: files that have none in common have no duplication in common.

A block of 26 tokens at each anchor stands for the windows that hold it whole. Every window holds one, and equal windows
hold equal ones: only windows around a block that occurs twice are worth a closer look.
"""

import re
import sys
from array import array
from collections.abc import Iterable, Sequence
from zlib import crc32

from collectors.cpd.windows import MINIMUM_TOKENS

RANK_COUNT = 8
"""Tokens are put into this many classes, the first best spread thin over every file."""

_REACH = 25
FINGERPRINT_TOKENS = MINIMUM_TOKENS - _REACH + 1
TOKENS_BEFORE_ANCHOR = _REACH - 1
"""How many tokens before its anchor a window may begin."""

_RANKS = bytes((7, 0, 2, 5, 4, 1, 6, 3)) * (256 // RANK_COUNT)
"""By the lowest byte of a digest, such that the tokens most frequent in Python (`self`, `,`, `=`, `(`) rank last."""

_LOW = 0xFFFF
_WIDTH = 2
_LOWEST_BYTE = slice(0 if sys.byteorder == "little" else 1, None, _WIDTH)


def compute_fingerprints(tokens: Sequence[int], digests: Iterable[int]) -> tuple[list[int], list[int]]:
    """The anchors of a file, ascending, and a 32-bit hash of the block at each.

    `tokens` are numbers of distinct tokens, whose 64-bit digests are given. A block goes by 16 bits of each token: two
    hashes may be alike by chance or by intent, which costs whoever looks closer some time.
    """
    low = [digest & _LOW for digest in digests]
    code = array("H", map(low.__getitem__, tokens)).tobytes()
    last = len(tokens) - FINGERPRINT_TOKENS
    anchors = [anchor for anchor in sorted(_anchors(code[_LOWEST_BYTE].translate(_RANKS))) if anchor <= last]
    size = FINGERPRINT_TOKENS * _WIDTH
    return anchors, [crc32(code[start : start + size]) for start in (anchor * _WIDTH for anchor in anchors)]


def _anchors(ranked: bytes) -> list[int]:
    """The tokens of lowest rank among any 25 in a row: places chosen by the tokens alone, and never far apart."""
    anchors: list[int] = []
    spans = [(0, len(ranked))]
    for rank in range(RANK_COUNT):
        lowest = re.compile(b"\\x%02x" % rank).finditer
        anchors += [match.start() for start, stop in spans for match in lowest(ranked, start, stop)]
        stretch = re.compile(b"[\\x%02x-\\xff]{%d,}" % (rank + 1, _REACH)).finditer
        spans = [match.span() for start, stop in spans for match in stretch(ranked, start, stop)]
    return anchors
