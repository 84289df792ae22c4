"""The tests of ranks, held against scipy, which is no dependency of the program, and against enumeration."""

import random
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from domain.statistics.rank_tests import (
    MOST_EXACT_GROUP,
    MOST_EXACT_PAIRS,
    WilcoxonTest,
    doubled_ranks,
    mann_whitney,
    wilcoxon,
)

few_values = st.integers(-3, 3).map(float)
any_values = st.floats(-1e9, 1e9)
small_groups = st.lists(few_values, min_size=1, max_size=6)
groups = st.lists(few_values | any_values, min_size=1, max_size=30)


def enumerated_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The p-value by its definition: twice the smaller tail over all ways to choose the first group."""
    ranks = doubled_ranks([*first, *second])
    sums = [sum(chosen) for chosen in combinations(ranks, len(first))]
    observed = sum(ranks[: len(first)])
    tail = min(sum(each <= observed for each in sums), sum(each >= observed for each in sums))
    return float(min(Fraction(1), Fraction(2 * tail, len(sums))))


def enumerated_signed_p(differences: Sequence[float]) -> float:
    changed = [difference for difference in differences if difference]
    ranks = doubled_ranks([abs(difference) for difference in changed])
    sums = [sum(r for r, up in zip(ranks, signs, strict=True) if up) for signs in product((0, 1), repeat=len(ranks))]
    observed = sum(rank for rank, difference in zip(ranks, changed, strict=True) if difference > 0)
    tail = min(sum(each <= observed for each in sums), sum(each >= observed for each in sums))
    return float(min(Fraction(1), Fraction(2 * tail, len(sums))))


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert doubled_ranks([7.0, 1.0, 7.0, 3.0, 7.0]) == [8, 2, 8, 4, 8]
    assert doubled_ranks([]) == []


@given(first=small_groups, second=small_groups)
def test_exact_p_of_groups_is_that_of_all_permutations(first: list[float], second: list[float]) -> None:
    assert mann_whitney(first, second).p_value == pytest.approx(enumerated_p(first, second), rel=1e-12)


@given(differences=st.lists(few_values, max_size=10))
def test_exact_p_of_pairs_is_that_of_all_signs(differences: list[float]) -> None:
    assert wilcoxon(differences).p_value == pytest.approx(enumerated_signed_p(differences), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (3, 3), (6, 6), (5, 20), (20, 20)])
def test_u_and_exact_p_equal_scipy_without_equal_values(n: int, m: int, seed: int) -> None:
    generator = random.Random(seed)
    first, second = [generator.gauss(0.5, 1) for _ in range(n)], [generator.gauss(0, 1) for _ in range(m)]
    expected = stats.mannwhitneyu(first, second, method="exact")
    found = mann_whitney(first, second)
    assert found.exact
    assert found.u == expected.statistic
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("n", "m"), [(3, 5), (4, 4), (2, 9)])
def test_exact_p_equals_scipy_permutations_with_equal_values(n: int, m: int, seed: int) -> None:
    generator = random.Random(seed)
    first, second = [generator.randrange(4) for _ in range(n)], [generator.randrange(4) for _ in range(m)]

    def u_of_first(one: list[int], other: list[int], axis: int) -> object:
        return stats.mannwhitneyu(one, other, axis=axis, method="asymptotic").statistic

    if len({*first, *second}) == 1:
        assert mann_whitney(first, second).p_value == 1.0
        return
    expected = stats.permutation_test((first, second), u_of_first, vectorized=True, n_resamples=np.inf)
    found = mann_whitney(first, second)
    assert found.u == expected.statistic
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("n", "m"), [(21, 1), (2, 30), (25, 25), (400, 600)])
@pytest.mark.parametrize("values", [5, 10**9])
def test_normal_p_equals_scipy_with_both_corrections(n: int, m: int, values: int, seed: int) -> None:
    generator = random.Random(seed)
    first, second = [generator.randrange(values) for _ in range(n)], [generator.randrange(values) for _ in range(m)]
    expected = stats.mannwhitneyu(first, second, method="asymptotic", use_continuity=True)
    found = mann_whitney(first, second)
    assert not found.exact
    assert found.u == expected.statistic
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("pairs", [1, 5, 9, 25, MOST_EXACT_PAIRS])
def test_exact_p_of_pairs_equals_scipy_without_equal_values(pairs: int, seed: int) -> None:
    generator = random.Random(seed)
    differences = [generator.gauss(0.4, 1) for _ in range(pairs)]
    expected = stats.wilcoxon(differences, method="exact")
    found = wilcoxon(differences)
    assert found.exact
    assert min(found.rises, pairs * (pairs + 1) / 2 - found.rises) == expected.statistic
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("pairs", [4, 8, 11])
def test_exact_p_of_pairs_equals_scipy_permutations_with_equal_values(pairs: int, seed: int) -> None:
    generator = random.Random(seed)
    differences = [generator.choice((-3, -2, -1, 1, 2, 3, 3)) for _ in range(pairs)]
    expected = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=np.inf))
    assert wilcoxon(differences).p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("values", [4, 10**9])
def test_normal_p_of_pairs_equals_scipy_with_both_corrections(values: int, seed: int) -> None:
    """As scipy does by default, differences of 0 are left out."""
    generator = random.Random(seed)
    differences = [generator.randrange(-values, values + 2) for _ in range(90)]
    expected = stats.wilcoxon(differences, method="asymptotic", correction=True, zero_method="wilcox")
    found = wilcoxon(differences)
    assert not found.exact
    assert found.pairs == sum(difference != 0 for difference in differences)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize(("size", "least"), [(3, 2 / 20), (4, 2 / 70), (5, 2 / 252), (6, 2 / 924), (10, 2 / 184_756)])
def test_least_p_of_equal_groups_is_two_ways_of_all(size: int, least: float) -> None:
    found = mann_whitney(range(size), range(size, 2 * size))
    assert astuple(found) == pytest.approx((0.0, least, least, True))


def test_nine_pairs_are_the_fewest_that_ten_metrics_can_tell_apart() -> None:
    assert wilcoxon(range(1, 9)).least_p == 2 / 2**8 > 0.05 / 10
    assert wilcoxon(range(1, 10)).least_p == 2 / 2**9 < 0.05 / 10


@pytest.mark.parametrize(
    ("first", "second"), [([1.0], [2.0]), ([1.0], [1.0]), ([3.0] * 30, [3.0] * 25), ([0.0] * 20, [0.0] * 20)]
)
def test_what_says_nothing_has_a_p_value_of_1(first: list[float], second: list[float]) -> None:
    found = mann_whitney(first, second)
    assert (found.u, found.p_value, found.least_p) == (stats.mannwhitneyu(first, second)[0], 1.0, 1.0)


@pytest.mark.parametrize("zeros", [0, 1, 60])
def test_pairs_without_a_difference_have_a_p_value_of_1(zeros: int) -> None:
    assert wilcoxon([0.0] * zeros) == WilcoxonTest(pairs=0, rises=0.0, p_value=1.0, least_p=1.0, exact=True)


def test_equal_values_raise_the_least_p() -> None:
    """One value that differs among twelve: whichever group has it, the result is the same."""
    assert mann_whitney([0.0] * 5 + [1.0], [0.0] * 6).least_p == 1.0
    assert mann_whitney([0.0] * 4 + [1.0, 2.0], [0.0] * 6).least_p == pytest.approx(2 * 15 / 66)


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([], [])])
def test_empty_group_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="without values"):
        mann_whitney(first, second)


@given(first=groups, second=groups)
def test_groups_may_change_places(first: list[float], second: list[float]) -> None:
    one, other = mann_whitney(first, second), mann_whitney(second, first)
    assert one.u + other.u == len(first) * len(second)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-12)
    assert one.least_p == pytest.approx(other.least_p, rel=1e-12)
    assert one.exact == (max(len(first), len(second)) <= MOST_EXACT_GROUP)


@given(first=groups, second=groups)
def test_p_of_groups_is_a_probability_and_never_below_the_least(first: list[float], second: list[float]) -> None:
    found = mann_whitney(first, second)
    assert 0 < found.least_p <= found.p_value <= 1
    assert 0 <= found.u <= len(first) * len(second)


@given(differences=st.lists(few_values | any_values, max_size=70))
def test_pairs_may_change_places(differences: list[float]) -> None:
    one, other = wilcoxon(differences), wilcoxon([-difference for difference in differences])
    assert one.p_value == pytest.approx(other.p_value, rel=1e-12)
    assert one.rises + other.rises == one.pairs * (one.pairs + 1) / 2
    assert 0 < one.least_p <= one.p_value <= 1
