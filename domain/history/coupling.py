"""Change coupling: files that change in the same commits.

The degree is that of code-maat (A. Tornhill), "logical coupling": 100 * shared revisions / mean revisions of the two
files, counted after commits of too many files are dropped. Whether a pair changes together more often than by chance is
tested by Fisher's exact test over the counted commits, with the false discovery rate controlled over all tested pairs.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from domain.history.commits import Commit
from domain.statistics import FisherExactTest, benjamini_hochberg

MIN_REVISIONS = 5
"""The least revisions of each file."""

MIN_SHARED = 5
"""The least revisions of both files together. Pairs with fewer are not tested."""

MIN_DEGREE = 30.0
FALSE_DISCOVERY_RATE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CoupledPair:
    """Two files that change together; `left` is the path that sorts first.

    `shared` is the number of counted commits that changed both, `left_revisions` and `right_revisions` those that
    changed each. `p_value` is the probability of as many shared commits by chance.
    """

    left: str
    right: str
    shared: int
    left_revisions: int
    right_revisions: int
    p_value: float

    @property
    def degree(self) -> float:
        """100 * shared / mean(revisions)."""
        return 200 * self.shared / (self.left_revisions + self.right_revisions)

    @property
    def confidence(self) -> float:
        """Shared / min(revisions): how often the file that changes less takes the other one with it, 0..1."""
        return self.shared / min(self.left_revisions, self.right_revisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """Pairs that are coupled, the highest degree first; `commits` were counted, and `tested` pairs were tested."""

    pairs: Sequence[CoupledPair]
    commits: int
    tested: int


def find_coupling(commits: Iterable[Commit]) -> Coupling:
    """Return the pairs with enough revisions, a degree of at least `MIN_DEGREE`, and more than chance behind it."""
    change_sets = [sorted([change[0] for change in commit.changes]) for commit in commits if commit.coupled]
    revisions = Counter(path for paths in change_sets for path in paths)
    frequent = {path for path, count in revisions.items() if count >= MIN_REVISIONS}
    shared: Counter[tuple[str, str]] = Counter()
    for paths in change_sets:
        if len(paths) > 1:
            shared.update(combinations([path for path in paths if path in frequent], 2))
    test = FisherExactTest(len(change_sets)).p_value
    tested = [
        CoupledPair(
            left=left,
            right=right,
            shared=count,
            left_revisions=revisions[left],
            right_revisions=revisions[right],
            p_value=test(count, revisions[left], revisions[right]),
        )
        for (left, right), count in shared.items()
        if count >= MIN_SHARED
    ]
    limit = benjamini_hochberg([pair.p_value for pair in tested], FALSE_DISCOVERY_RATE)
    pairs = [pair for pair in tested if pair.degree >= MIN_DEGREE and pair.p_value <= limit]
    pairs.sort(key=lambda pair: (-pair.degree, -pair.shared, pair.left, pair.right))
    return Coupling(pairs=pairs, commits=len(change_sets), tested=len(tested))
