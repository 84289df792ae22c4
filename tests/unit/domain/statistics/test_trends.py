"""Trends: which runs are comparable, and the trend of each number."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.statistics.trends import LEAST_RUNS, MOST_RUNS, Series, TrendRun, latest_series, trends

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(number: int, score: float | None = 50.0, **more: object) -> TrendRun:
    values = TrendRun(
        run_id=UUID(int=number),
        created_at=START + timedelta(days=number),
        commit=f"{number:040x}",
        numbers={"lint": {"linting_score": score}, "churn": {"totalChurn": float(number)}},
        tool_versions={"ruff": "1", "python": "3.11"},
        complete=True,
    )
    return replace(values, **more)  # type: ignore[arg-type]


def numbers(series: Series) -> Sequence[int]:
    return [run.run_id.int for run in series.runs]


def test_runs_are_in_the_order_of_their_time() -> None:
    series = latest_series([run(3), run(1), run(2)])
    assert (numbers(series), series.break_reason) == ([1, 2, 3], None)


def test_of_a_commit_the_newest_run_counts() -> None:
    again = run(4, commit=run(2).commit)
    assert numbers(latest_series([run(1), run(2), run(3), again])) == [1, 3, 4]


def test_runs_without_a_commit_all_count() -> None:
    assert numbers(latest_series([run(1, commit=None), run(2, commit=None)])) == [1, 2]


def test_another_version_of_a_tool_begins_a_series() -> None:
    old = {"ruff": "0", "python": "3.10"}
    series = latest_series([run(1, tool_versions=old), run(2), run(3)])
    assert (numbers(series), series.break_reason) == ([2, 3], "another version of python, ruff")


def test_an_incomplete_run_ends_a_series() -> None:
    series = latest_series([run(1), run(2, complete=False), run(3), run(4)])
    assert (numbers(series), series.break_reason) == ([3, 4], "an earlier run is incomplete")
    none = latest_series([run(1), run(2, complete=False)])
    assert (numbers(none), none.break_reason) == ([], "the newest run is incomplete")


def test_a_series_is_bounded() -> None:
    series = latest_series(run(number) for number in range(MOST_RUNS + 5))
    assert (len(series.runs), series.runs[0].run_id.int) == (MOST_RUNS, 5)
    assert series.break_reason == f"only the newest {MOST_RUNS} runs count"


def test_trend_of_a_falling_score_is_significant() -> None:
    series = latest_series(run(number, 90.0 - 2 * number) for number in range(LEAST_RUNS))
    (trend,) = trends(series)
    assert (trend.metric, trend.key, trend.slope, trend.is_significant) == ("lint", "linting_score", -2.0, True)
    assert trend.to_json()["values"] == [90.0, 88.0, 86.0, 84.0, 82.0, 80.0, 78.0, 76.0]


def test_few_runs_have_values_and_no_trend() -> None:
    (trend,) = trends(latest_series(run(number) for number in range(LEAST_RUNS - 1)))
    assert (len(trend.values), trend.slope, trend.p_value, trend.is_significant) == (LEAST_RUNS - 1, None, None, False)


def test_number_that_a_run_lacks_has_no_trend() -> None:
    assert trends(latest_series([run(1, None), run(2)])) == []
    assert trends(latest_series([])) == []
