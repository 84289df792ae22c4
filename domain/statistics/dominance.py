"""Cliff's delta: how much the values of one group dominate those of another, and its interval."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, pvariance

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominance:
    """`delta` is -1..1: the share of pairs in which the first group's value is greater, minus that of the opposite.

    `low` and `high` bound the interval of CONFIDENCE, in which `delta` always lies.
    """

    delta: float
    low: float
    high: float


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> Dominance:
    """Return Cliff's delta with its interval. Raises ValueError for an empty group.

    N. Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychol. Bull. 114 (1993). The
    interval is the asymmetric one of D. Feng and N. Cliff, "Monte Carlo evaluation of ordinal d with improved
    confidence interval", J. Mod. Appl. Stat. Methods 3 (2004), with the consistent estimate of the variance: each of
    its three parts is a mean square. Where all pairs have the same outcome, that estimate is 0 and says nothing. With
    `n` values in the smaller group, the interval for a delta of 1 then begins at (n - z^2) / (n + z^2), which is the
    bound of E. B. Wilson (1927) for a share of n in n. By the same bound it is z^2 / (n + z^2) to both sides of 0 where
    all values are equal. One value alone says nothing of its group's spread: the interval is then all of -1..1, unless
    delta is -1 or 1.
    """
    if not first or not second:
        raise ValueError("a group without values cannot be compared")
    by_first, by_second = _dominances(first, second), _dominances(second, first)
    pairs, balance = len(first) * len(second), sum(each.balance for each in by_first)
    unequal = sum(each.unequal for each in by_first)
    delta = balance / pairs
    smaller = min(len(first), len(second))
    if unequal == 0 or abs(balance) == pairs:
        return _of_one_outcome(delta, smaller)
    if smaller == 1:
        return Dominance(delta=delta, low=-1.0, high=1.0)
    variance = (
        (len(second) - 1) * _variance(by_first, len(second))
        + (len(first) - 1) * _variance(by_second, len(first))
        + unequal / pairs
        - delta**2
    ) / pairs
    low, high = _interval(delta, variance)
    # The formula's interval holds delta; rounding of floats must not take it out.
    return Dominance(delta=delta, low=max(-1.0, min(low, delta)), high=min(1.0, max(high, delta)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValueDominance:
    """Of one value: the number of values in the other group below it minus those above, and the number of both."""

    balance: int
    unequal: int


def _dominances(values: Sequence[float], others: Sequence[float]) -> list[_ValueDominance]:
    ordered, found = sorted(others), []
    for value in values:
        below, above = bisect_left(ordered, value), len(ordered) - bisect_right(ordered, value)
        found.append(_ValueDominance(balance=below - above, unequal=below + above))
    return found


def _variance(dominances: Sequence[_ValueDominance], others: int) -> float:
    """Return the mean square deviation of the values' mean dominance over the `others`."""
    return pvariance([each.balance / others for each in dominances])


def _interval(delta: float, variance: float) -> tuple[float, float]:
    rest, error = 1 - delta**2, _Z**2 * variance
    middle, half = delta * rest, sqrt(error) * sqrt(rest**2 + error)
    return (middle - half) / (rest + error), (middle + half) / (rest + error)


def _of_one_outcome(delta: float, smaller: int) -> Dominance:
    """Return the dominance where all pairs have the same outcome."""
    if delta == 0:
        half = _Z**2 / (smaller + _Z**2)
        return Dominance(delta=0.0, low=-half, high=half)
    bound = (smaller - _Z**2) / (smaller + _Z**2)
    low, high = (bound, 1.0) if delta > 0 else (-1.0, -bound)
    return Dominance(delta=delta, low=low, high=high)
