import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.metrics import scoring
from domain.metrics.scoring import HEALTH_WEIGHTS, health_score
from domain.metrics.severity import Falling, Rising, Severity

RISING = ("complexity", "lint", "security", "duplication", "dead_code", "churn")
NUMBERS = st.fixed_dictionaries(
    {name: st.floats(0, 1e6) for name in RISING} | {name: st.floats(0, 100) for name in ("docs", "maintainability")}
)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (scoring.linting_score(0, 0), 100),
        (scoring.linting_score(40, None), None),
        (scoring.duplication_score(None), None),
        (scoring.linting_score(5, 0), 100),
        (scoring.linting_score(4, 100), 80),
        (scoring.linting_score(1000, 10), 0),
        (scoring.complexity_score(3.5), 82.5),
        (scoring.complexity_score(50), 0),
        (scoring.duplication_score(12.5), 87.5),
        (scoring.duplication_score(140), 0),
        (scoring.security_score(1, 2, 3), 77),
        (scoring.security_score(11, 0, 0), 0),
        (scoring.churn_score(250), 75),
        (scoring.churn_score(10_000), 0),
    ],
)
def test_scores_follow_their_formulas(score: float, expected: float) -> None:
    assert score == expected


@pytest.mark.parametrize(
    ("judge", "low", "medium", "high"),
    [(Rising(5, 10), [0, 5], [5.1, 10], [10.1]), (Falling(80, 50), [100, 80], [79.9, 50], [49.9])],
)
def test_severity_follows_the_thresholds(
    judge: Rising | Falling, low: list[float], medium: list[float], high: list[float]
) -> None:
    assert {judge(value) for value in low} == {Severity.LOW}
    assert {judge(value) for value in medium} == {Severity.MEDIUM}
    assert {judge(value) for value in high} == {Severity.HIGH}


def test_health_weights_add_up_to_one() -> None:
    assert sum(weight.share for weight in HEALTH_WEIGHTS.values()) == pytest.approx(1)


@given(NUMBERS, st.sampled_from(sorted(HEALTH_WEIGHTS)), st.floats(0, 1000))
def test_health_score_is_monotonic_in_every_input(numbers: dict[str, float], name: str, more: float) -> None:
    worse = numbers[name] + more if name in RISING else max(0.0, numbers[name] - more)
    assert 0 <= score({**numbers, name: worse}) <= score(numbers) <= 100


@given(NUMBERS, st.sampled_from(sorted(HEALTH_WEIGHTS)))
def test_health_score_is_continuous(numbers: dict[str, float], name: str) -> None:
    near = {**numbers, name: numbers[name] + 1e-4}
    assert abs(score(near) - score(numbers)) < 0.02


def test_health_score_is_100_without_penalty() -> None:
    assert health_score(dict.fromkeys(RISING, 0.0) | {"docs": 100.0, "maintainability": 100.0}) == 100


@given(NUMBERS, st.sampled_from(sorted(HEALTH_WEIGHTS)))
def test_without_an_input_there_is_no_health_score_unless_it_is_churn(numbers: dict[str, float], name: str) -> None:
    rest = {key: value for key, value in numbers.items() if key != name}
    assert (health_score(rest) is None) == (name != "churn")
    assert health_score({}) is None


def score(numbers: dict[str, float]) -> float:
    found = health_score(numbers)
    assert found is not None
    return found
