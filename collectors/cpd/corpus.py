"""All files of a tree, compared with each other: from their tokens to the duplicated lines."""

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.cpd.candidate_regions import CandidateRegions
from collectors.cpd.facts import PackedFile
from collectors.cpd.matcher import find_matches
from collectors.cpd.windows import MINIMUM_TOKENS, WindowHashes, equal_windows


@dataclass(frozen=True, slots=True)
class Location:
    """Lines `first_line` to `last_line` of one file, counted from 1."""

    path: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Duplication:
    """The same run of `token_count` tokens at two or more locations.

    `identity` is the smallest hash of the windows of 50 tokens in it, in hexadecimal digits. It stays the same while
    the run grows or shrinks around the window that has it.
    """

    token_count: int
    locations: list[Location]
    identity: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All duplications of a tree, and the number of groups that were matched by the simplified rule.

    See `collectors.cpd.matcher.find_matches` for that rule.
    """

    duplications: list[Duplication]
    simplified_groups: int


class Corpus:
    """The files in PMD's reading order, which decides what PMD reports when three or more places are alike."""

    def __init__(self, files: Mapping[str, PackedFile]) -> None:
        long_enough = [path for path, file in files.items() if len(file.tokens) >= MINIMUM_TOKENS]
        self.paths = sorted(long_enough, key=_java_sort_key)
        self.files = [files[path] for path in self.paths]

    def compare(self) -> Comparison:
        """Compare every file with every other file and with itself."""
        regions = CandidateRegions(self.files)
        found = find_matches(regions.sequence, equal_windows(regions.sequence, regions.spans))
        hashes = WindowHashes(regions.sequence)
        duplications = [
            Duplication(
                match.length,
                [self._location(*regions.locate(mark), match.length) for mark in match.marks],
                hashes.smallest(match.marks[0], match.length),
            )
            for match in found.matches
        ]
        return Comparison(duplications, found.simplified_groups)

    def _location(self, file: int, token: int, length: int) -> Location:
        return Location(self.paths[file], *self.files[file].line_range(token, token + length - 1))


def _java_sort_key(path: str) -> bytes:
    """Return a key that sorts paths by UTF-16 code units, as Java does."""
    return path.encode("utf-16-be", "surrogatepass")
