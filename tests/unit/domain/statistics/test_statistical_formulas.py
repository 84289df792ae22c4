from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.statistics.formulas import (
    FisherExactTest,
    benjamini_hochberg,
    holm,
    mann_kendall_p,
    percentile_rank,
    theil_sen_slope,
)


def exact_p(both: int, left: int, right: int, total: int) -> Fraction:
    """The p-value by its definition, in whole numbers."""
    ways = sum(comb(left, k) * comb(total - left, right - k) for k in range(both, min(left, right) + 1) if right >= k)
    return Fraction(ways, comb(total, right))


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    total = draw(st.integers(1, 400))
    left, right = draw(st.integers(0, total)), draw(st.integers(0, total))
    return draw(st.integers(max(0, left + right - total), min(left, right))), left, right, total


@given(table=tables())
def test_fisher_equals_the_definition(table: tuple[int, int, int, int]) -> None:
    both, left, right, total = table
    assert FisherExactTest(total).p_value(both, left, right) == pytest.approx(float(exact_p(*table)), rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("table", "p"),
    [
        # Fisher, "The Design of Experiments" (1935): the lady tasting tea, three and four of four cups right.
        ((3, 4, 4, 8), 17 / 70),
        ((4, 4, 4, 8), 1 / 70),
        # scipy 1.17.1: fisher_exact([[10, 2], [5, 13]], "greater") and fisher_exact([[6, 2], [4, 2]], "greater").
        ((10, 12, 15, 30), 0.0038875299192509),
        ((6, 8, 10, 14), 0.5944055944055944),
        # scipy 1.17.1: hypergeom.sf(both - 1, total, left, right)
        ((20, 40, 35, 7000), 1.3463231802384726e-38),
        ((300, 700, 900, 7000), 2.2345397847435743e-100),
        ((5, 3000, 3000, 100_000), 1.0),
    ],
)
def test_fisher_equals_published_values(table: tuple[int, int, int, int], p: float) -> None:
    both, left, right, total = table
    assert FisherExactTest(total).p_value(both, left, right) == pytest.approx(p, rel=1e-8, abs=0)


@pytest.mark.parametrize("table", [(5, 4, 6, 10), (0, 8, 8, 10), (-1, 2, 2, 9), (1, 12, 1, 10)])
def test_impossible_table_is_refused(table: tuple[int, int, int, int]) -> None:
    both, left, right, total = table
    with pytest.raises(ValueError, match="is not possible"):
        FisherExactTest(total).p_value(both, left, right)


def test_discoveries_of_the_published_example() -> None:
    """Table 1 of Benjamini and Hochberg (1995): four of fifteen hypotheses are rejected at 0.05."""
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
        0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
    assert benjamini_hochberg(p_values[::-1], 0.05) == 0.0095


@pytest.mark.parametrize(
    ("p_values", "largest"),
    [([], -1.0), ([0.2], -1.0), ([0.05], 0.05), ([0.04, 0.05], 0.05), ([0.03, 0.2], -1.0), ([0.0, 0.0, 1.0], 0.0)],
)
def test_discoveries_of_few_tests(p_values: list[float], largest: float) -> None:
    assert benjamini_hochberg(p_values, 0.05) == largest


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_equals_the_definition(p_values: list[float]) -> None:
    expected = []
    for p in p_values:
        smaller = sorted(p_values)[: sorted(p_values).index(p) + 1]
        expected.append(min(1.0, max((len(p_values) - rank) * each for rank, each in enumerate(smaller))))
    assert holm(p_values) == pytest.approx(expected)


def test_holm_of_few_tests() -> None:
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


@given(p_values=st.lists(st.floats(0, 1), max_size=40))
def test_holm_lies_between_the_p_value_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p)


def test_percentile_rank_counts_half_of_the_equal_values() -> None:
    ordered, values = [0.0, 1.0, 1.0, 4.0], (-1.0, 0.0, 1.0, 2.0, 4.0, 5.0)
    assert [percentile_rank(value, ordered) for value in values] == [
        0,
        12.5,
        50,
        75,
        87.5,
        100,
    ]


@pytest.mark.parametrize(
    ("values", "p", "slope"),
    [
        # pymannkendall 1.4.3: original_test(values).p, and scipy 1.17.1: theilslopes(values)[0]
        ([1, 2, 3, 4, 5, 6, 7, 8], 0.0008366271311193163, 1.0),
        ([5] * 8, 1.0, 0.0),
        ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], 0.23470247795516075, 0.25),
        ([80.1, 80.0, 79.5, 79.9, 78.0, 78.0, 77.5, 77.6, 76.0, 75.9, 75.9, 75.0], 4.804489684473445e-05, -0.5),
        ([1, 1, 1, 1, 1, 1, 1, 2], 0.19043026382552397, 0.0),
        ([], 1.0, 0.0),
        ([7], 1.0, 0.0),
    ],
)
def test_trend_equals_published_values(values: list[float], p: float, slope: float) -> None:
    assert mann_kendall_p(values) == pytest.approx(p, rel=1e-9)
    assert theil_sen_slope(values) == pytest.approx(slope, rel=1e-9)
    assert mann_kendall_p(values[::-1]) == mann_kendall_p(values)
    assert theil_sen_slope(values[::-1]) == -theil_sen_slope(values)
