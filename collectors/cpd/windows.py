"""Where the same 50 tokens stand more than once: the groups from which matches grow."""

import re
from collections import Counter
from collections.abc import Iterator

from collectors.cpd.sequence import Sequence

MINIMUM_TOKENS = 50
"""`--minimum-tokens`: the length of a window, and of the shortest duplication."""

_REACH = 25
_BLOCK = MINIMUM_TOKENS - _REACH + 1
RANKS = 8
"""Token numbers are put into this many classes, the first best spread thin over every file."""


def equal_windows(sequence: Sequence, ranks: bytes) -> Iterator[list[int]]:
    """The groups of positions, each ascending, at which the same window begins, some of them after unequal tokens.

    Windows whose every occurrence follows the same token begin no match, and are left out. `ranks` gives each token
    number a class below RANKS. Windows are told apart by a 64-bit hash only: who goes on from here compares tokens.
    """
    first: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for start, stop in _candidates(sequence, ranks):
        for position in range(start, stop):
            window = sequence.digest(position, MINIMUM_TOKENS)
            earlier = first.setdefault(window, position)
            if earlier != position:
                groups.setdefault(window, [earlier]).append(position)
    for group in groups.values():
        before = sequence.code[group[0] - 1]
        if any(sequence.code[position - 1] != before for position in group):
            yield group


def _candidates(sequence: Sequence, ranks: bytes) -> list[list[int]]:
    """Ascending, disjoint [start, stop) of positions outside which no window occurs twice.

    A block of 26 tokens at each anchor represents the windows that hold it whole. Every window does hold one, and
    equal windows hold equal ones: only windows around a block that occurs twice are worth a closer look.
    """
    anchors = _anchors(bytes(map(ranks.__getitem__, sequence.code)))
    blocks = [sequence.digest(anchor, _BLOCK) for anchor in anchors]
    times = Counter(blocks)
    last = len(sequence) - MINIMUM_TOKENS
    spans: list[list[int]] = []
    for anchor in sorted(anchor for anchor, block in zip(anchors, blocks, strict=True) if times[block] > 1):
        start, stop = max(1, anchor - _REACH + 1), min(anchor, last) + 1
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(stop, spans[-1][1])
        elif start < stop:
            spans.append([start, stop])
    return spans


def _anchors(ranked: bytes) -> list[int]:
    """The tokens of lowest rank among any 25 in a row: places chosen by the tokens alone, and never far apart."""
    anchors: list[int] = []
    spans = [(0, len(ranked))]
    for rank in range(RANKS):
        lowest = re.compile(b"\\x%02x" % rank).finditer
        anchors += [match.start() for start, stop in spans for match in lowest(ranked, start, stop)]
        stretch = re.compile(b"[\\x%02x-\\xff]{%d,}" % (rank + 1, _REACH)).finditer
        spans = [match.span() for start, stop in spans for match in stretch(ranked, start, stop)]
    return anchors
