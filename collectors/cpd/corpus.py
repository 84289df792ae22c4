"""All files of a tree, compared with each other: from their tokens to the lines that are duplicated."""

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.cpd.candidate_regions import CandidateRegions
from collectors.cpd.facts import PackedFile
from collectors.cpd.matcher import find_matches
from collectors.cpd.windows import MINIMUM_TOKENS, equal_windows


@dataclass(frozen=True, slots=True)
class Location:
    """Lines `first_line` to `last_line`, from 1, of one file."""

    path: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Duplication:
    """The same `token_count` tokens in a row at two or more places."""

    token_count: int
    locations: list[Location]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All duplications, and for how many repetitive blocks PMD's full rule would have taken too long."""

    duplications: list[Duplication]
    simplified_groups: int


class Corpus:
    """The files in the order in which PMD reads them, which decides what it reports among three and more."""

    def __init__(self, files: Mapping[str, PackedFile]) -> None:
        long_enough = [path for path, file in files.items() if len(file.tokens) >= MINIMUM_TOKENS]
        self.paths = sorted(long_enough, key=_java_order)
        self.files = [files[path] for path in self.paths]

    def compare(self) -> Comparison:
        """Every file with every other and with itself."""
        segments = CandidateRegions(self.files)
        found = find_matches(segments.sequence, equal_windows(segments.sequence, segments.spans))
        duplications = [
            Duplication(match.length, [self._place(*segments.locate(mark), match.length) for mark in match.marks])
            for match in found.matches
        ]
        return Comparison(duplications, found.simplified_groups)

    def _place(self, file: int, token: int, length: int) -> Location:
        return Location(self.paths[file], *self.files[file].line_range(token, token + length - 1))


def _java_order(path: str) -> bytes:
    """Java compares strings by UTF-16 units."""
    return path.encode("utf-16-be", "surrogatepass")
