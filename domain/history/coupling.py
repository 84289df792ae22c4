"""Change coupling: files that change in the same commits.

The degree is that of code-maat (A. Tornhill), "logical coupling": 100 * shared revisions / mean revisions of the two
files, counted after commits of too many files are dropped. Whether a pair changes together more often than by chance is
tested by Fisher's exact test over the counted commits, with the false discovery rate controlled over all tested pairs.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

from domain.statistics.formulas import FisherExactTest, benjamini_hochberg

MIN_REVISIONS = 5
"""The least revisions of each file."""

MIN_SHARED = 5
"""The least revisions of both files together. Pairs with fewer are not tested."""

MIN_DEGREE = 30.0
FALSE_DISCOVERY_RATE = 0.05


class CoupledPair(NamedTuple):
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


def find_coupling(change_sets: Sequence[Collection[str]]) -> Coupling:
    """Return the pairs with enough revisions, a degree of at least `MIN_DEGREE`, and more than chance behind it.

    `change_sets` are the files that each counted commit changed, without those that do not exist at HEAD. Commits of
    more than `MAX_COUPLED_FILES` files are not among them.
    """
    revisions = Counter(chain.from_iterable(change_sets))
    frequent = {path for path, count in revisions.items() if count >= MIN_REVISIONS}
    shared: Counter[tuple[str, str]] = Counter()
    for paths in change_sets:
        if len(paths) > 1:
            shared.update(combinations(sorted(frequent.intersection(paths)), 2))
    often = {pair: count for pair, count in shared.items() if count >= MIN_SHARED}
    test = FisherExactTest(len(change_sets) if often else 0).p_value  # without a pair, its table is not needed
    tested = [
        CoupledPair(
            left, right, count, revisions[left], revisions[right], test(count, revisions[left], revisions[right])
        )
        for (left, right), count in often.items()
    ]
    limit = benjamini_hochberg([pair.p_value for pair in tested], FALSE_DISCOVERY_RATE)
    pairs = [pair for pair in tested if pair.degree >= MIN_DEGREE and pair.p_value <= limit]
    pairs.sort(key=lambda pair: (-pair.degree, -pair.shared, pair.left, pair.right))
    return Coupling(pairs=pairs, commits=len(change_sets), tested=len(tested))
