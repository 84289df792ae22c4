"""The parts of a tree's files that can contain duplication, joined into one sequence of tokens.

Windows outside the candidate regions occur only once in the tree, so no duplication begins there. A region contains
every window that may be equal to another one, and the token before its first window. Two regions of a file are so far
apart that windows of different regions neither overlap nor touch. So comparing the distance between two windows with
the window length gives the same answer in this sequence as in the file.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from collectors.cpd import token_sequence
from collectors.cpd.fingerprints import TOKENS_BEFORE_ANCHOR
from collectors.cpd.windows import MINIMUM_TOKENS

_LARGEST = (1 << 64) - 1


class FingerprintedFile(Protocol):
    """A file: `tokens` are indexes into `digests`; `anchors` and `blocks` as `compute_fingerprints` gives them."""

    @property
    def digests(self) -> "array[int]": ...  # noqa: D102
    @property
    def tokens(self) -> "array[int]": ...  # noqa: D102
    @property
    def anchors(self) -> "array[int]": ...  # noqa: D102
    @property
    def fingerprints(self) -> "array[int]": ...  # noqa: D102


class CandidateRegions:
    """`spans` are the positions in `sequence`, as [start, stop), at which windows begin."""

    def __init__(self, files: Sequence[FingerprintedFile]) -> None:
        self.spans: list[tuple[int, int]] = []
        self._tokens: list[tuple[int, int]] = []
        shared = _shared(files)
        code = array("Q")
        for index, file in enumerate(files):
            for start, stop in _spans(file, shared):
                # Borders stand nowhere else, so that no match crosses one.
                code.append(file.digests[file.tokens[start - 1]] if start else _LARGEST - len(code))
                self.spans.append((len(code), len(code) + stop - start))
                self._tokens.append((index, start))
                code.extend(map(file.digests.__getitem__, file.tokens[start : stop + MINIMUM_TOKENS - 1]))
                code.append(_LARGEST - len(code))
        self.sequence = token_sequence.TokenSequence(code)
        self._starts = [start for start, _ in self.spans]

    def locate(self, position: int) -> tuple[int, int]:
        """The number of the file, and of the token in it, that stand at a position of the sequence."""
        number = bisect_right(self._starts, position) - 1
        file, first = self._tokens[number]
        return file, first + position - self._starts[number]


def _shared(files: Iterable[FingerprintedFile]) -> set[int]:
    """The hashes of blocks that occur more than once."""
    times = Counter(chain.from_iterable(file.fingerprints for file in files))
    return {block for block, count in times.items() if count > 1}


def _spans(file: FingerprintedFile, shared: set[int]) -> Iterator[tuple[int, int]]:
    """Ascending [start, stop) of tokens outside which no window of the file occurs twice."""
    last = len(file.tokens) - MINIMUM_TOKENS
    begun, ended = 0, -1
    for anchor, block in zip(file.anchors, file.fingerprints, strict=True):
        if block not in shared:
            continue
        start, stop = max(0, anchor - TOKENS_BEFORE_ANCHOR), min(anchor, last) + 1
        if ended >= 0 and start <= ended + MINIMUM_TOKENS:
            ended = max(stop, ended)
        else:
            if begun < ended:
                yield begun, ended
            begun, ended = start, stop
    if begun < ended:
        yield begun, ended
