"""Ownership of files: who wrote them, how their changes are spread over people, and who knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import log1p

from domain.history.commits import Changes

MINOR_SHARE = 0.05
"""An author with a smaller share of a file's commits is a minor contributor of it."""

AUTHOR_SHARE = 0.75
"""An author's degree of authorship is at least this share of the file's highest."""

AUTHOR_MINIMUM = 3.293
"""An author's degree of authorship is at least this."""


@dataclass(slots=True)
class Contribution:
    """What one person did to one file: commits, added lines, and whether one of the commits created the file."""

    commits: int = 0
    added: int = 0
    created: bool = False


class FileOwnership:
    """Contributions to one file by person. At least one person has contributed."""

    __slots__ = ("commits", "contributions")

    def __init__(self, contributions: Mapping[int, Contribution]) -> None:
        self.contributions = contributions
        self.commits = sum([each.commits for each in contributions.values()])
        """The commits of all."""

    @property
    def added(self) -> int:
        """The lines that all have added."""
        return sum([each.added for each in self.contributions.values()])

    def main_author(self, names: Sequence[str]) -> tuple[int, float]:
        """Return who added most lines, and that share of all added lines, 0..1 (code-maat's main developer).

        Of equals, the one with more commits, then the one whose name sorts first. Nobody has a share of no lines: 0.0.
        """
        ranked = [(-each.added, -each.commits, names[person], person) for person, each in self.contributions.items()]
        added, _, _, main = min(ranked)
        return main, -added / max(1, self.added)

    @property
    def fragmentation(self) -> float:
        """1 - sum((a_i / n) ** 2) over people, of n commits a_i are a person's: 0 for one author, towards 1 for many.

        M. D'Ambros, M. Lanza and H. Gall, "Fractal Figures: Visualizing Development Effort for CVS Entities" (2005);
        code-maat's fractal value.
        """
        return 1 - sum([each.commits**2 for each in self.contributions.values()]) / self.commits**2

    @property
    def minor_authors(self) -> int:
        """The number of people with less than 5 % of the commits.

        C. Bird et al., "Don't Touch My Code! Examining the Effects of Ownership on Software Quality" (2011).
        """
        least = MINOR_SHARE * self.commits
        return sum([each.commits < least for each in self.contributions.values()])

    def degrees_of_authorship(self) -> Mapping[int, float]:
        """Return 3.293 + 1.098 FA + 0.164 DL - 0.321 ln(1 + AC) by person.

        FA is 1 for who created the file, DL are the person's later changes, AC those of all others. T. Fritz et al., "A
        Degree-of-Knowledge Model to Capture Source Code Familiarity" (2010), with the weights of G. Avelino et al., "A
        Novel Approach for Estimating Truck Factors" (2016).
        """
        delivered = self.commits - sum([each.created for each in self.contributions.values()])
        degrees = {}
        for person, each in self.contributions.items():
            own = each.commits - each.created
            degrees[person] = 3.293 + 1.098 * each.created + 0.164 * own - 0.321 * log1p(delivered - own)
        return degrees

    def authors(self) -> frozenset[int]:
        """Return the people whose degree is at least 3.293 and at least 0.75 of the file's highest (Avelino et al.)."""
        degrees = self.degrees_of_authorship()
        least = max(AUTHOR_MINIMUM, AUTHOR_SHARE * max(degrees.values()))
        return frozenset([person for person, degree in degrees.items() if degree >= least])


def tally_ownership(changes: Changes, names: Sequence[str]) -> dict[str, FileOwnership]:
    """Return the contributions to each file, by path.

    A file's creator is the author of the earliest commit that created it; of equal dates, the name that sorts first.
    """
    files: dict[str, dict[int, Contribution]] = {}
    for path, person, added in zip(changes.paths, changes.people, changes.added, strict=True):
        of_file = files.get(path)
        if of_file is None:
            of_file = files[path] = {}
        contribution = of_file.get(person)
        if contribution is None:
            of_file[person] = Contribution(1, added)
        else:
            contribution.commits += 1
            contribution.added += added
    created: dict[str, tuple[int, str, int]] = {}
    for path, person, at in compress(zip(changes.paths, changes.people, changes.at, strict=True), changes.created):
        claim = (at, names[person], person)
        created[path] = min(created.get(path, claim), claim)
    for path, (_, _, person) in created.items():
        files[path][person].created = True
    return {path: FileOwnership(contributions) for path, contributions in files.items()}
