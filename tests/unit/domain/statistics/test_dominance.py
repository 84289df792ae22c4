"""Cliff's delta: its definition, its relation to U, and how often its interval holds the truth."""

import random
from dataclasses import astuple
from itertools import product
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.statistics.dominance import Dominance, cliffs_delta
from domain.statistics.rank_tests import mann_whitney

Z = 1.959963984540054
values = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)
groups = st.lists(values, min_size=1, max_size=15)


def interval_by_definition(first: list[float], second: list[float]) -> tuple[float, float]:
    """Feng and Cliff's interval from the whole matrix of dominances, each variance a mean square."""
    matrix = [[(one > other) - (one < other) for other in second] for one in first]
    n, m = len(first), len(second)
    delta = sum(map(sum, matrix)) / (n * m)
    of_first = sum((sum(row) / m - delta) ** 2 for row in matrix) / n
    of_second = sum((sum(row[j] for row in matrix) / n - delta) ** 2 for j in range(m)) / m
    of_pairs = sum((cell - delta) ** 2 for row in matrix for cell in row) / (n * m)
    variance = ((m - 1) * of_first + (n - 1) * of_second + of_pairs) / (n * m)
    half = Z * variance**0.5 * ((1 - delta**2) ** 2 + Z**2 * variance) ** 0.5
    below = 1 - delta**2 + Z**2 * variance
    return (delta - delta**3 - half) / below, (delta - delta**3 + half) / below


def test_published_deltas() -> None:
    """The examples in the tests of the R package effsize, by M. Torchiano."""
    first, second = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]
    assert cliffs_delta(first, second).delta == -0.25
    assert cliffs_delta([10, 20, 20, 20, 30, 30, 30, 40, 50, 100], second).delta == pytest.approx(-1 / 15)


@given(first=groups, second=groups)
def test_delta_is_u_on_another_scale(first: list[float], second: list[float]) -> None:
    u = mann_whitney(first, second).u
    assert cliffs_delta(first, second).delta == pytest.approx(2 * u / (len(first) * len(second)) - 1, abs=1e-12)


@given(first=groups, second=groups)
def test_interval_holds_delta_and_lies_within_1(first: list[float], second: list[float]) -> None:
    found = cliffs_delta(first, second)
    assert -1 <= found.low <= found.delta <= found.high <= 1
    assert found.low < found.high


@given(first=groups, second=groups)
def test_change_of_places_turns_the_sign(first: list[float], second: list[float]) -> None:
    one, other = cliffs_delta(first, second), cliffs_delta(second, first)
    assert (one.delta, one.low, one.high) == pytest.approx((-other.delta, -other.high, -other.low), abs=1e-12)


@given(first=st.lists(values, min_size=2, max_size=12), second=st.lists(values, min_size=2, max_size=12))
def test_interval_is_that_of_the_matrix(first: list[float], second: list[float]) -> None:
    outcomes = {(one > other) - (one < other) for one, other in product(first, second)}
    if len(outcomes) > 1:
        found = cliffs_delta(first, second)
        assert (found.low, found.high) == pytest.approx(interval_by_definition(first, second), abs=1e-9)


@pytest.mark.parametrize(("sizes", "smaller"), [((6, 6), 6), ((40, 3), 3), ((1, 1), 1), ((2, 9), 2)])
def test_interval_of_complete_dominance(sizes: tuple[int, int], smaller: int) -> None:
    bound = (smaller - Z**2) / (smaller + Z**2)
    below, above = list(range(sizes[0])), list(range(100, 100 + sizes[1]))
    assert astuple(cliffs_delta(above, below)) == pytest.approx((1.0, bound, 1.0))
    assert astuple(cliffs_delta(below, above)) == pytest.approx((-1.0, -1.0, -bound))


@pytest.mark.parametrize("sizes", [(6, 6), (1, 1), (12, 4)])
def test_equal_values_say_little_and_not_that_there_is_no_difference(sizes: tuple[int, int]) -> None:
    half = Z**2 / (min(sizes) + Z**2)
    assert astuple(cliffs_delta([7.0] * sizes[0], [7.0] * sizes[1])) == pytest.approx((0.0, -half, half))


def test_one_value_says_nothing_of_its_group() -> None:
    assert cliffs_delta([5.0], [1.0, 2.0, 9.0, 3.0]) == Dominance(delta=0.5, low=-1.0, high=1.0)


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], [])])
def test_empty_group_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="without values"):
        cliffs_delta(first, second)


@pytest.mark.parametrize("delta", [0.0, 0.3])
@pytest.mark.parametrize("size", [6, 10, 20, 40])
def test_interval_holds_the_truth_about_95_times_in_100(size: int, delta: float) -> None:
    """Groups of normal values whose means are so far apart that their true delta is this one."""
    distance = 2**0.5 * NormalDist().inv_cdf((1 + delta) / 2)
    generator = random.Random(1 + size)
    samples = 2_000
    held = 0
    for _ in range(samples):
        first = [generator.gauss(distance, 1) for _ in range(size)]
        found = cliffs_delta(first, [generator.gauss(0, 1) for _ in range(size)])
        held += found.low <= delta <= found.high
    assert 0.934 <= held / samples <= 0.956
