import math

import pytest

from domain.history.commits import Changes
from domain.history.hotspots import (
    MAX_CANDIDATES,
    hotspot_score,
    recency_weight,
    select_candidates,
    weigh_commits,
)

DAY = 86_400
NOW = 1_700_000_000


@pytest.mark.parametrize(("age_days", "weight"), [(0, 1.0), (90, 0.5), (180, 0.25), (45, math.sqrt(0.5)), (-1, 1.0)])
def test_weight_halves_every_90_days_and_the_future_counts_as_now(age_days: int, weight: float) -> None:
    assert recency_weight(NOW - age_days * DAY, NOW) == pytest.approx(weight)


def test_odd_dates_have_finite_weights() -> None:
    assert recency_weight(0, NOW) > 0  # 1970
    assert recency_weight(2**32, NOW) == 1.0  # 2106
    assert 0 <= recency_weight(0, 2**32) < 1e-100
    assert recency_weight(0, 2**60) == 0.0


def test_weights_add_up_by_file() -> None:
    old = NOW - 90 * DAY
    rows = [("a.py", 0, old, 1, True), ("b.py", 0, old, 1, True), ("a.py", 0, NOW, 9, False)]
    assert weigh_commits(Changes(*zip(*rows, strict=True)), NOW) == {"a.py": 1.5, "b.py": 0.5}


def test_sum_of_weights_does_not_depend_on_the_order_of_commits() -> None:
    rows = [("a.py", 0, NOW - age * age * 1_000, 1, False) for age in range(300)]
    there, back = (weigh_commits(Changes(*zip(*each, strict=True)), NOW) for each in (rows, rows[::-1]))
    assert there == back


def test_candidates_are_the_smallest_set_with_half_of_the_weight() -> None:
    assert select_candidates({"a": 1.0, "b": 5.0, "c": 2.0, "d": 2.0}) == ["b"]
    assert select_candidates({"a": 1.0, "b": 4.0, "c": 2.0, "d": 2.0}) == ["b", "c"]
    assert select_candidates({}) == []
    assert select_candidates({"a": 0.0}) == []
    assert len(select_candidates({f"{number:03}": 1.0 for number in range(400)})) == MAX_CANDIDATES


def test_score_is_high_where_often_changed_files_are_unhealthy() -> None:
    assert hotspot_score(80, 25) == 60
    assert hotspot_score(100, 100) == 0
