"""All files of a tree as one sequence of tokens, and the way back from a position to a file and its lines."""

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from collectors.cpd.facts import PackedFile
from collectors.cpd.matcher import find_matches
from collectors.cpd.sequence import Sequence
from collectors.cpd.windows import MINIMUM_TOKENS, RANKS, equal_windows

_RANK_OF_REMAINDER = bytes((7, 0, 2, 5, 4, 1, 6, 3))
"""By a digest modulo RANKS, such that the tokens most frequent in Python (`self`, `,`, `=`, `(`) rank last."""


@dataclass(frozen=True, slots=True)
class Place:
    """Lines `first` to `last`, from 1, of one file."""

    path: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Duplication:
    """The same `tokens` in a row at two or more places."""

    tokens: int
    places: list[Place]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All duplications, and for how many repetitive blocks PMD's full rule would have taken too long."""

    duplications: list[Duplication]
    simplified: int


class Corpus:
    """The files in the order in which PMD reads them, which decides what it reports among three and more."""

    def __init__(self, files: Mapping[str, PackedFile]) -> None:
        long_enough = [path for path, file in files.items() if len(file.tokens) >= MINIMUM_TOKENS]
        self.paths = sorted(long_enough, key=_java_order)
        self.files = [files[path] for path in self.paths]

    def compare(self) -> Comparison:
        """Every file with every other and with itself."""
        sequence, ranks, starts = self._joined()
        found = find_matches(sequence, equal_windows(sequence, ranks))
        duplications = [
            Duplication(match.length, [self._place(mark, match.length, starts) for mark in match.marks])
            for match in found.matches
        ]
        return Comparison(duplications, found.simplified)

    def _joined(self) -> tuple[Sequence, bytes, list[int]]:
        """The sequence, the rank of each token number, and the position at which each file starts."""
        numbers: dict[int, int] = {}
        for digest in chain.from_iterable(file.digests for file in self.files):
            numbers.setdefault(digest, len(numbers))
        ranks = bytes(_RANK_OF_REMAINDER[digest % RANKS] for digest in numbers)
        border = len(numbers)
        code, starts = array("I", [border]), []
        for file in self.files:
            starts.append(len(code))
            own = [numbers[digest] for digest in file.digests]
            code.extend(map(own.__getitem__, file.tokens))
            code.append(border := border + 1)
        return Sequence(code), ranks + bytes([RANKS - 1]) * (len(starts) + 1), starts

    def _place(self, mark: int, length: int, starts: list[int]) -> Place:
        index = bisect_right(starts, mark) - 1
        token = mark - starts[index]
        return Place(self.paths[index], *self.files[index].lines(token, token + length - 1))


def _java_order(path: str) -> bytes:
    """Java compares strings by UTF-16 units."""
    return path.encode("utf-16-be", "surrogatepass")
