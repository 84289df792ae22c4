"""Tests of ranks: Mann and Whitney's for two groups, and Wilcoxon's for pairs. Both are two-sided.

Equal values have the mean of the ranks that they take together (mid-ranks). The exact p-values are those of the
permutations of these mid-ranks, so they are right with equal values too. Ranks are doubled, which makes them whole.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import comb, erfc, sqrt

MOST_EXACT_GROUP = 20
"""The largest group for which the p-value of two groups is exact."""

MOST_EXACT_PAIRS = 50
"""The most pairs for which the p-value of pairs is exact."""

_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MannWhitneyTest:
    """The result for two groups.

    `u` is the number of pairs in which the value of the first group is greater, plus half of those that are equal.
    `least_p` is the smallest p-value that groups of these sizes with these equal values can have.
    """

    u: float
    p_value: float
    least_p: float
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WilcoxonTest:
    """The result for pairs.

    `pairs` counts those that differ, and `rises` is the sum of the ranks of the positive differences. `least_p` is the
    smallest p-value that this many pairs can have.
    """

    pairs: int
    rises: float
    p_value: float
    least_p: float
    exact: bool


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> MannWhitneyTest:
    """Test whether values of one group tend to be greater than those of the other.

    H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the
    other", Ann. Math. Stat. 18 (1947). Where no group has more than MOST_EXACT_GROUP values, the p-value is twice the
    smaller tail of all ways to share out the ranks, at most 1. Else it is normal, with corrections for equal values and
    for continuity. Raises ValueError for an empty group.
    """
    if not first or not second:
        raise ValueError("a group without values cannot be compared")
    sizes = len(first), len(second)
    ranks = doubled_ranks([*first, *second])
    rank_sum = sum(ranks[: len(first)])
    u = (rank_sum - len(first) * (len(first) + 1)) / 2
    if max(sizes) <= MOST_EXACT_GROUP:
        p_value, least = _exact(_ways_to_choose(ranks, len(first)), rank_sum)
        return MannWhitneyTest(u=u, p_value=p_value, least_p=least, exact=True)
    deviation = _rank_sum_deviation(ranks, sizes)
    farthest = sum(sorted(ranks)[-len(first) :]), sum(sorted(ranks)[: len(first)])
    mean = len(first) * (len(ranks) + 1)
    most = max(abs(extreme - mean) for extreme in farthest)
    return MannWhitneyTest(
        u=u,
        p_value=_normal_p(abs(rank_sum - mean), deviation),
        least_p=_normal_p(most, deviation),
        exact=False,
    )


def wilcoxon(differences: Iterable[float]) -> WilcoxonTest:
    """Test whether the differences of pairs tend to one side.

    F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1 (1945). Differences of 0 are left out, as
    Wilcoxon did. With at most MOST_EXACT_PAIRS others, the p-value is twice the smaller tail of all ways to choose the
    signs, at most 1. Else it is normal, with corrections for equal values and for continuity.
    """
    changed = [difference for difference in differences if difference]
    count = len(changed)
    ranks = doubled_ranks([abs(difference) for difference in changed])
    rises = sum(rank for rank, difference in zip(ranks, changed, strict=True) if difference > 0)
    if count <= MOST_EXACT_PAIRS:
        p_value, least = _exact(_ways_to_sign(ranks), rises)
        return WilcoxonTest(pairs=count, rises=rises / 2, p_value=p_value, least_p=least, exact=True)
    mean = count * (count + 1) / 2
    # Of the doubled ranks, as the mean is: four times the usual variance.
    deviation = sqrt(sum(rank * rank for rank in ranks)) / 2
    return WilcoxonTest(
        pairs=count,
        rises=rises / 2,
        p_value=_normal_p(abs(rises - mean), deviation),
        least_p=_normal_p(mean, deviation),
        exact=False,
    )


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the mid-rank of each value, counted from 1."""
    counts = Counter(values)
    ordered = sorted(counts)
    not_above = accumulate(counts[value] for value in ordered)
    rank = {value: 2 * upto - counts[value] + 1 for value, upto in zip(ordered, not_above, strict=True)}
    return [rank[value] for value in values]


def _rank_sum_deviation(ranks: Sequence[int], sizes: tuple[int, int]) -> float:
    """Return the standard deviation of the doubled rank sum of a group, corrected for equal values."""
    total = len(ranks)
    ties = sum(size**3 - size for size in Counter(ranks).values())
    return sqrt(sizes[0] * sizes[1] / 3 * (total + 1 - ties / (total * (total - 1))))


def _normal_p(distance: float, deviation: float) -> float:
    """Return the two-sided p-value of a doubled sum of ranks; 1 of its steps is the correction for continuity."""
    if deviation == 0 or distance <= 1:
        return 1.0
    return erfc((distance - 1) / deviation / sqrt(2))


def _exact(ways: Sequence[int], value: int) -> tuple[float, float]:
    """Return the p-value of this sum, and the least of all sums; `ways[sum]` is the number of ways to each."""
    total = sum(ways)
    tail = min(sum(ways[: value + 1]), sum(ways[value:]))
    possible = [count for count in ways if count]
    least = min(possible[0], possible[-1])
    return min(1.0, 2 * tail / total), min(1.0, 2 * least / total)


def _ways_to_choose(ranks: Sequence[int], chosen: int) -> list[int]:
    """Return for each sum the number of ways to choose so many of the ranks that have it.

    The counts of all sums are kept in one whole number, in fields that are wide enough for the greatest. So one shift
    and one addition add a rank to all of them.
    """
    width = _field_width(comb(len(ranks), chosen))
    packed = [1] + [0] * chosen
    for rank in ranks:
        for size in range(chosen, 0, -1):
            packed[size] += packed[size - 1] << (rank * width)
    return _unpack(packed[chosen], width)


def _ways_to_sign(ranks: Sequence[int]) -> list[int]:
    """Return for each sum the number of sets of the ranks that have it."""
    width = _field_width(2 ** len(ranks))
    packed = 1
    for rank in ranks:
        packed += packed << (rank * width)
    return _unpack(packed, width)


def _field_width(greatest: int) -> int:
    """Return the bits of a field for counts up to this one, in whole bytes."""
    return -(-greatest.bit_length() // _BITS) * _BITS


def _unpack(packed: int, width: int) -> list[int]:
    size = width // _BITS
    fields = -(-packed.bit_length() // width)
    data = packed.to_bytes(fields * size, "little")
    return [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]
