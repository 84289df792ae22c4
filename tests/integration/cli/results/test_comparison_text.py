"""Text of comparisons: what is cut is counted, and what is not known is not a number."""

from typing import Any

import pytest
from rich.console import Console

from worker.cli.output.runs.changes import changes_grid, count_changes, count_changes_elsewhere
from worker.cli.output.runs.comparison import numbers_grid, show_comparison


def counts(**states: int) -> dict[str, Any]:
    return {"lint": {"low": {state: {"source": number, "test": 1} for state, number in states.items()}}}


def document(**changes: Any) -> dict[str, Any]:
    none: dict[str, Any] = {"total": 0, "items": []}
    values: dict[str, Any] = {
        "run_id": "r", "baseline_run_id": "b", "counts": {}, "baseline_counts": {}, "findings": [], "fixed": none,
        "metrics": {"before": {}, "after": {}}, "tool_versions": {},
        "files": dict.fromkeys(("added", "removed", "changed", "renamed"), none),
    }  # fmt: skip
    return values | changes


def item(number: int, state: str = "new", severity: str = "low", role: str = "source") -> dict[str, Any]:
    return {
        "metric": "lint", "rule": "R", "severity": severity, "path": f"{number:03}.py", "line": 1, "column": 1,
        "message": "m", "state": state, "role": role,
    }  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], value: dict[str, Any], roles: frozenset[str]) -> list[str]:
    show_comparison(Console(width=200), value, roles)
    return capsys.readouterr().out.splitlines()


def test_fixed_findings_are_counted_on_the_side_of_the_baseline_only() -> None:
    compared = {"counts": counts(new=2, unchanged=5, fixed=90), "baseline_counts": counts(fixed=3, unchanged=5)}
    assert count_changes(compared, {"source"}) == {("lint", "low"): {"new": 2, "unchanged": 5, "fixed": 3}}
    assert count_changes(compared, ())["lint", "low"]["fixed"] == 4
    assert count_changes_elsewhere(compared, {"source"}) == {"new": 1, "unchanged": 1, "fixed": 1}
    assert count_changes_elsewhere(compared, ()) == {}


def test_no_table_is_shown_where_nothing_changed() -> None:
    assert changes_grid(count_changes({"counts": counts(unchanged=5)}, ()), by_severity=True) is None


def test_every_cut_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    paths = {"total": 1_234, "items": [f"{number}.py" for number in range(100)]}
    value = document(
        findings=[item(number) for number in range(30)] + [item(99, severity="high")] + [item(50, role="test")],
        fixed={"total": 2_000, "items": [item(number, "fixed") for number in range(25)]},
        files={**document()["files"], "changed": paths},
    )
    lines = shown(capsys, value, frozenset({"source"}))
    start = lines.index("New or updated")
    assert lines[start + 1].startswith("099.py:1:1  high lint R m (new)")
    assert "20 of 31 (all are in --json)" in lines
    assert "20 of 25 (all are in --json); 1,975 more of any role are not listed" in lines
    assert "  and 1,224 more changed" in lines
    assert sum(line.startswith("  changed ") for line in lines) == 10


def test_a_number_that_is_not_known_is_no_change_of_one() -> None:
    metrics = {
        "before": {"lint": {"total": 3, "score": None, "by_role": {"source": {"total": 1}}}, "deps": {"modules": 4}},
        "after": {"lint": {"total": 9, "score": 8.0, "by_role": {"source": {"total": 2}}}, "deps": {"modules": 4}},
    }
    source, everything = numbers_grid(metrics, {"source"}), numbers_grid(metrics, ())
    assert source is not None
    assert source.rows == [("lint", "total", "1", "2", "+1")]
    assert everything is not None
    assert everything.rows == [("lint", "score", "[dim]-[/dim]", "8", ""), ("lint", "total", "3", "9", "+6")]


@pytest.mark.parametrize(
    ("before", "after", "cells"),
    [
        (96.36, 96.32, ("96.36", "96.32", "-0.04")),
        (99.3, 99.31, ("99.30", "99.31", "+0.01")),
        (1, 1.0004, ("1.0000", "1.0004", "+0.0004")),
        (79.8, 80, ("79.8", "80", "+0.2")),
        (2_000, 1_000, ("2,000", "1,000", "-1,000")),
    ],
)
def test_a_small_change_is_shown_with_the_decimals_in_which_it_is_one(
    before: float, after: float, cells: tuple[str, ...]
) -> None:
    grid = numbers_grid({"before": {"lint": {"score": before}}, "after": {"lint": {"score": after}}}, ())
    assert grid is not None
    assert grid.rows == [("lint", "score", *cells)]


def test_a_difference_that_is_nothing_but_rounding_is_no_change() -> None:
    assert numbers_grid({"before": {"lint": {"score": 0.3}}, "after": {"lint": {"score": 0.1 + 0.2}}}, ()) is None


def test_a_finding_that_became_worse_says_from_what(capsys: pytest.CaptureFixture[str]) -> None:
    worse = {**item(1, "updated", "high"), "severity_before": "low"}
    same = {**item(2, "updated", "low"), "severity_before": "low"}
    lines = shown(capsys, document(findings=[worse, same]), frozenset({"source"}))
    assert "001.py:1:1  high lint R m (updated, severity was low)" in lines
    assert "002.py:1:1  low lint R m (updated)" in lines


def test_uncompared_findings_and_tools_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    value = document(counts=counts(not_measured=7, tool_changed=2), tool_versions={"ruff": ["1", None]})
    lines = shown(capsys, value, frozenset({"source"}))
    assert "7 findings: not compared, since one of the runs did not measure them" in lines
    assert "2 findings: different because a tool changed, and not the code" in lines
    assert "ruff: version 1 before, none after" in lines
