"""Statistics: percentile ranks, Fisher's exact test, adjustments for many tests, and trends."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from math import erfc, exp, lgamma, sqrt
from statistics import median

_NEGLIGIBLE = 1e-17
"""A term of a sum that is smaller than the sum by this factor no longer changes it."""


def percentile_rank(value: float, ordered: Sequence[float]) -> float:
    """Return the mid-rank of a value among `ordered` (ascending), 0..100.

    That is the share of smaller values plus half the share of equal ones. Raises ZeroDivisionError without any value.
    """
    below, not_above = bisect_left(ordered, value), bisect_right(ordered, value)
    return 50 * (below + not_above) / len(ordered)


class FisherExactTest:
    """One-sided exact test of whether two events occur together more often than by chance.

    R. A. Fisher, "On the interpretation of chi-squared from contingency tables", J. R. Stat. Soc. 85 (1922). Of `total`
    trials, all margins given, the number of those with both events has the hypergeometric distribution if the events
    are independent.
    """

    def __init__(self, total: int) -> None:
        """`total` is the number of trials. The logarithms of its factorials are kept for all tests."""
        self._total = total
        self._log_factorials = [lgamma(number + 1) for number in range(total + 1)]

    def p_value(self, both: int, left: int, right: int) -> float:
        """Return the probability of at least `both` trials with both events; `left` and `right` are those with each.

        The relative error is below 1e-8 for a total of up to 1,000,000. Raises ValueError where the counts contradict
        each other.
        """
        total = self._total
        least, most = max(0, left + right - total), min(left, right)
        if not (least <= both <= most and most >= 0 and max(left, right) <= total):
            raise ValueError(f"{both} of {left} and {right} in {total} is not possible")
        if both == least:
            return 1.0
        if both * total > left * right:
            return min(1.0, self._upper_tail(both, left, right, most))
        # At most the expected number: the other tail is short, and the first term of this one may be 0 as a float.
        return max(0.0, 1.0 - self._lower_tail(both - 1, left, right, least))

    def _upper_tail(self, both: int, left: int, right: int, most: int) -> float:
        neither = self._total - left - right
        term = result = self._probability(both, left, right)
        while both < most and term > result * _NEGLIGIBLE:
            term *= (left - both) * (right - both) / ((both + 1) * (neither + both + 1))
            result += term
            both += 1
        return result

    def _lower_tail(self, both: int, left: int, right: int, least: int) -> float:
        neither = self._total - left - right
        term = result = self._probability(both, left, right)
        while both > least and term > result * _NEGLIGIBLE:
            term *= both * (neither + both) / ((left - both + 1) * (right - both + 1))
            result += term
            both -= 1
        return result

    def _probability(self, both: int, left: int, right: int) -> float:
        """Return the probability of exactly `both`: C(left, both) C(total - left, right - both) / C(total, right)."""
        total, log = self._total, self._log_factorials
        margins = log[left] + log[total - left] + log[right] + log[total - right] - log[total]
        cells = log[both] + log[left - both] + log[right - both] + log[total - left - right + both]
        return exp(margins - cells)


def benjamini_hochberg(p_values: Sequence[float], rate: float) -> float:
    """Return the largest p-value that counts as a discovery at a false discovery rate of `rate`; -1.0 without any.

    Every p-value up to that one is a discovery. It is the largest p of rank k, counted from 1 in ascending order, with
    p <= rate * k / number of tests. Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", J. R. Stat.
    Soc. B 57 (1995).
    """
    ordered = sorted(p_values)
    tests = len(ordered)
    found = (p for rank, p in zip(range(tests, 0, -1), reversed(ordered), strict=True) if p <= rate * rank / tests)
    return next(found, -1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for the number of tests, in the same order.

    Those up to a level are the hypotheses that are rejected while the probability of any false rejection stays below
    that level. S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6 (1979).
    """
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = greatest
    return adjusted


def theil_sen_slope(values: Sequence[float]) -> float:
    """Return the median slope over all pairs of values, per step; 0.0 for fewer than two values.

    P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63 (1968). Up to
    29 % of the values may be outliers. The time is quadratic in the number of values.
    """
    slopes = [(after - before) / step for before, after, step in _pairs(values)]
    return median(slopes) if slopes else 0.0


def mann_kendall_p(values: Sequence[float]) -> float:
    """Return the two-sided p-value of the absence of a monotonic trend, 0..1.

    H. B. Mann, "Nonparametric tests against trend", Econometrica 13 (1945), with the variance of M. G. Kendall, "Rank
    correlation methods" (1975), that corrects for equal values, and a correction for continuity. The normal
    approximation is usual from 8 values on. The time is quadratic in the number of values.
    """
    rises = sum((after > before) - (after < before) for before, after, _ in _pairs(values))
    count = len(values)
    ties = sum(size * (size - 1) * (2 * size + 5) for size in Counter(values).values())
    variance = (count * (count - 1) * (2 * count + 5) - ties) / 18
    if rises == 0 or variance <= 0:
        return 1.0
    return erfc((abs(rises) - 1) / sqrt(2 * variance))


def _pairs(values: Sequence[float]) -> Iterator[tuple[float, float, int]]:
    """Yield each value with each later one, and the number of steps between them."""
    for index, before in enumerate(values):
        for step, after in enumerate(values[index + 1 :], start=1):
            yield before, after, step
