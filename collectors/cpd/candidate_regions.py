"""The parts of a tree's files that can contain duplication, joined into one sequence of tokens.

Windows outside the candidate regions occur only once in the tree, so no duplication begins there. A region contains
every window that may be equal to another one, and the token before its first window. Two regions of a file are so far
apart that windows of different regions neither overlap nor touch. So comparing the distance between two windows with
the window length gives the same answer in this sequence as in the file.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from collectors.cpd.fingerprints import TOKENS_BEFORE_ANCHOR, fingerprints_within
from collectors.cpd.token_sequence import TokenSequence
from collectors.cpd.windows import MINIMUM_TOKENS

_LARGEST = (1 << 64) - 1


class FingerprintedFile(Protocol):
    """A file with its tokens, as indexes into `digests`, and the result of `compute_fingerprints`."""

    @property
    def digests(self) -> "array[int]": ...  # noqa: D102
    @property
    def tokens(self) -> "array[int]": ...  # noqa: D102
    @property
    def anchors(self) -> "array[int]": ...  # noqa: D102
    @property
    def fingerprints(self) -> "array[int]": ...  # noqa: D102


class CandidateRegions:
    """The joined `sequence`, and its `spans`: ranges [start, stop) of positions at which windows may begin twice."""

    def __init__(self, files: Sequence[FingerprintedFile]) -> None:
        self.spans: list[tuple[int, int]] = []
        self._origins: list[tuple[int, int]] = []
        repeated = _repeated_fingerprints(files)
        values = array("Q")
        for index, file in enumerate(files):
            for start, stop in _spans(file, repeated):
                # A border has a value that occurs nowhere else, so no match can contain one.
                values.append(file.digests[file.tokens[start - 1]] if start else _LARGEST - len(values))
                self.spans.append((len(values), len(values) + stop - start))
                self._origins.append((index, start))
                values.extend(map(file.digests.__getitem__, file.tokens[start : stop + MINIMUM_TOKENS - 1]))
                values.append(_LARGEST - len(values))
        self.sequence = TokenSequence(values)
        self._starts = [start for start, _ in self.spans]
        self.spans = list(_without_single_windows(self.spans, self.sequence, repeated))

    def locate(self, position: int) -> tuple[int, int]:
        """Return the index of the file, and of the token in that file, at a position of the sequence."""
        region = bisect_right(self._starts, position) - 1
        file, first = self._origins[region]
        return file, first + position - self._starts[region]


def _repeated_fingerprints(files: Iterable[FingerprintedFile]) -> set[int]:
    counts = Counter(chain.from_iterable(file.fingerprints for file in files))
    return {fingerprint for fingerprint, count in counts.items() if count > 1}


def _without_single_windows(
    spans: Iterable[tuple[int, int]], sequence: TokenSequence, repeated: set[int]
) -> Iterator[tuple[int, int]]:
    """Yield the parts of ascending spans without windows that contain a run whose fingerprint occurs only once."""
    single = sorted(at for at, fingerprint in fingerprints_within(sequence.data) if fingerprint not in repeated)
    index = 0
    for start, stop in spans:
        index = bisect_left(single, start, index)
        begin = start
        for anchor in single[index : bisect_left(single, stop + TOKENS_BEFORE_ANCHOR, index)]:
            if begin < anchor - TOKENS_BEFORE_ANCHOR:
                yield begin, anchor - TOKENS_BEFORE_ANCHOR
            begin = anchor + 1
        if begin < stop:
            yield begin, stop


def _spans(file: FingerprintedFile, repeated: set[int]) -> Iterator[tuple[int, int]]:
    """Yield ascending ranges [start, stop) of tokens; no window that begins outside them occurs twice."""
    last = len(file.tokens) - MINIMUM_TOKENS
    span_start, span_stop = 0, -1
    for anchor, fingerprint in zip(file.anchors, file.fingerprints, strict=True):
        if fingerprint not in repeated:
            continue
        start, stop = max(0, anchor - TOKENS_BEFORE_ANCHOR), min(anchor, last) + 1
        if span_stop >= 0 and start <= span_stop + MINIMUM_TOKENS:
            span_stop = max(stop, span_stop)
        else:
            if span_start < span_stop:
                yield span_start, span_stop
            span_start, span_stop = start, stop
    if span_start < span_stop:
        yield span_start, span_stop
