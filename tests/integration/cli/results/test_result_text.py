"""Text of a whole result: gate, quality and changes come first, source files only are ranked, each cut is counted."""

from typing import Any

import pytest
from rich.console import Console

from collectors.engine.discovery import declarations
from domain.gate.evaluation import Change, GateResult, Totals, evaluate
from domain.gate.policy import DEFAULT_POLICY
from domain.history.document import NO_HISTORY, missing_history
from tests.fixtures.jobs import analysis
from worker.cli.output.results.files import worst_files_grid
from worker.cli.output.results.page import print_result
from worker.cli.output.results.verdict import report_verdict

RUN_ID = "158b6599-0454-41dc-a00c-df9c33afd9c2"
TOTALS = Totals(duplicated_share=1.0, documented_share=50.0, quality_score=70.0)


def finding(number: int, **changes: Any) -> dict[str, Any]:
    item = {
        "metric": "security", "rule": "B307", "severity": "medium", "path": f"src/{number}.py", "line": number,
        "column": 5, "message": "Use of eval", "state": "new",
    }  # fmt: skip
    return item | changes


def file_node(path: str, health: float | None, role: str | None = "source") -> dict[str, Any]:
    node = {"name": path, "type": "file", "path": path, "metrics": {"health_score": health}}
    return node if role is None else {**node, "role": role}


def tree(*files: dict[str, Any]) -> dict[str, Any]:
    return {"name": "root", "type": "directory", "path": "", "children": list(files)}


def document(**changes: Any) -> dict[str, Any]:
    values = {"job": None, "source": {"kind": "directory", "path": "."}, "comparison": None}
    return {**analysis(timings_ms={"fetching": 1_000}).document(), **values, **changes}


def judged(result: GateResult) -> dict[str, Any]:
    criteria = [answer.to_json() for answer in result.answers]
    return {"verdict": str(result.verdict), "policy": {}, "criteria": criteria, "strengths": [], "weaknesses": []}


def gate(*findings: dict[str, Any], added_lines: int | None = 100) -> dict[str, Any]:
    roles = {item["path"]: "source" for item in findings}
    change = Change(findings=findings, roles=roles, before=TOTALS, after=TOTALS, added_lines=added_lines)
    return judged(evaluate(DEFAULT_POLICY, change))


def shown(capsys: pytest.CaptureFixture[str], value: dict[str, Any]) -> list[str]:
    print_result(Console(width=200), value)
    return capsys.readouterr().out.splitlines()


def test_a_rejected_run_says_first_why_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    items = [finding(number) for number in range(1, 13)]
    lines = shown(capsys, document(review=gate(*items), quality_score=70.0))
    assert lines[0] == "., 1 file in 1.0 s"
    start = lines.index("Gate: rejected")
    assert start < lines.index("Quality 70.0 of 100") < lines.index("Metrics")
    assert lines[start + 1 : start + 3] == [
        "  fail: 12 findings of medium severity or above are new or have become worse; at most 0 may be",
        "    src/1.py:1:5  medium security B307 Use of eval (new)",
    ]
    assert lines[start + 12 : start + 14] == ["    and 2 more", "  4 of 5 conditions hold"]


def test_conditions_that_were_not_judged_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, document(review=gate(added_lines=3)))
    start = lines.index("Gate: approved")
    assert lines[start + 1 : start + 3] == [
        "  waived: 3 added lines, fewer than 20: too few to judge",
        "  4 of 5 conditions hold",
    ]
    without = shown(capsys, document(review=judged(evaluate(DEFAULT_POLICY, None))))
    start = without.index("Gate: not evaluated")
    assert without[start + 1] == "  not evaluated: there is no earlier run to compare with (5 conditions)"


def test_a_run_of_an_earlier_version_shows_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, document(review=None, quality_score=None, insights=[], history=None))
    assert lines[:3] == ["., 1 file in 1.0 s", "", "Metrics"]
    assert not any(line.startswith(("Gate", "Quality", "Hotspots", "Insights", "Findings", "no ")) for line in lines)


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (
            {"percentiles": {"quality_score": 63.2}, "grade": "B", "reason": None, "packages": 51},
            "Quality 71.3 of 100, grade B: better than 63 % of 51 well-known packages",
        ),
        (
            {"percentiles": {}, "grade": None, "reason": "another version of ruff", "packages": 51},
            "Quality 71.3 of 100",
        ),
        (None, "Quality 71.3 of 100"),
    ],
)
def test_quality_has_grade_and_percentile_where_they_are_known(
    capsys: pytest.CaptureFixture[str], standing: dict[str, Any] | None, line: str
) -> None:
    lines = shown(capsys, document(quality_score=71.3, standing=standing))
    assert line in lines
    assert ("no grade: another version of ruff" in lines) == bool(standing and standing["reason"])


def test_changes_are_those_of_source_files_and_name_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = {
        "baseline_run_id": "b",
        "counts": {"lint": {"low": {"new": {"source": 2, "test": 9}, "not_measured": {"source": 4}}}},
        "baseline_counts": {"docs": {"info": {"fixed": {"source": 3}}}},
    }
    source = {"run_id": RUN_ID, "upload_filename": "p.zip"}
    lines = shown(capsys, document(source=source, comparison=comparison))
    words = [line.split() for line in lines]
    assert words.index(["lint", "2", "0", "0", "0"]) < words.index(["Metrics"])
    assert ["docs", "0", "0", "0", "3"] in words
    assert "in files of other roles: 9 new" in lines
    assert "each of them: vibe8 compare 158b6599" in lines
    assert "4 findings: not compared, since one of the runs did not measure them" in lines
    unchanged = shown(capsys, document(comparison={"counts": {}, "baseline_counts": {}, "baseline_run_id": None}))
    assert "no finding in a source file is new, updated, moved or fixed" in unchanged
    assert not any("vibe8 compare" in line for line in unchanged)


def test_worst_files_are_source_files_unless_there_are_none() -> None:
    files = [file_node("a.py", 50.0), file_node("b.py", None, None), file_node("tests/c.py", 1.0, "test")]
    grid = worst_files_grid({"file_tree": tree(*files)}, declarations())
    assert grid is not None
    assert ([row[-1] for row in grid.rows], grid.title) == (["b.py", "a.py"], "The source files, worst first")
    tests = worst_files_grid({"file_tree": tree(files[-1])}, declarations())
    assert tests is not None
    assert ([row[-1] for row in tests.rows], tests.title) == (["tests/c.py"], "The files, worst first")
    many = worst_files_grid({"file_tree": tree(*(file_node(f"{n}.py", n) for n in range(11)))}, declarations())
    assert many is not None
    assert many.title == "The worst 10 of 11 source files"
    assert worst_files_grid({"file_tree": tree()}, declarations()) is None


@pytest.mark.parametrize(
    ("count", "title"),
    [(11, "10 of 11 source files, whose health is not known"), (2, "The source files: health not known")],
)
def test_no_file_is_called_the_worst_where_no_health_is_known(count: int, title: str) -> None:
    files = [file_node(f"{number}.py", None) for number in range(count)]
    assert worst_files_grid({"file_tree": tree(*files)}, declarations()) is None, "nothing is known of any"
    for file in files:
        file["metrics"]["lint"] = {"count": 3}
    grid = worst_files_grid({"file_tree": tree(*files)}, declarations())
    assert grid is not None
    assert (grid.title, "3" in grid.rows[0]) == (title, True)


def test_a_file_that_does_not_parse_is_shown_though_nothing_is_known_of_it() -> None:
    grid = worst_files_grid({"file_tree": tree({**file_node("a.py", None), "parse_error": "x"})}, declarations())
    assert grid is not None
    assert "does not parse" in grid.rows[0][-1]


def hotspot(number: int, score: float | None = 9.0) -> dict[str, Any]:
    return {"path": f"[{number}].py", "commits": 1_000, "health": None if score is None else 50.0, "score": score}


def test_five_hotspots_and_five_insights_are_shown_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    history = {"reason": None, "hotspots": {"reason": None, "files": [hotspot(0, None), *map(hotspot, range(1, 8))]}}
    insights = [{"title": f"[red]{n}\x1b[31m\n", "confidence_score": 0.9 - n / 10} for n in range(7)]
    lines = shown(capsys, document(history=history, insights=insights))
    start = lines.index("Hotspots, which change often and are in bad health (5 of 8)")
    assert [line.split() for line in lines[start + 2 : start + 4]] == [
        ["-", "1,000", "-", "[0].py"],
        ["9.0", "1,000", "50.0", "[1].py"],
    ]
    start = lines.index("Insights (5 of 7)")
    assert lines[start + 2].split(maxsplit=1) == ["0.90", "[red]0\\x1b[31m"]
    assert lines[start + 7 : start + 8] == [""]


def test_what_is_not_known_has_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"no history: {NO_HISTORY}" in shown(capsys, document(history=missing_history(NO_HISTORY)))
    few = {"reason": None, "hotspots": {"reason": "insufficient history: 3 of 20 commits", "files": None}}
    errors = [f"error {number}" for number in range(12)]
    lines = shown(capsys, document(history=few, errors=errors))
    assert "no hotspots: insufficient history: 3 of 20 commits" in lines
    assert lines[lines.index("! error 9") + 1] == "! and 2 more (all are in --json)"


def test_findings_are_counted_with_the_way_to_list_them(capsys: pytest.CaptureFixture[str]) -> None:
    findings = {"total": 2, "items": [finding(1), finding(2, metric="lint")]}
    local = shown(capsys, document(findings=findings))
    assert "2 findings: security 1, lint 1 (each with its file and line in --json)" in local
    stored = shown(capsys, document(findings=findings, source={"run_id": RUN_ID, "upload_filename": "p.zip"}))
    assert "2 findings: security 1, lint 1 (vibe8 findings 158b6599)" in stored
    one = shown(capsys, document(findings={"total": 1, "items": [finding(1)]}))
    assert "1 finding: security 1 (each with its file and line in --json)" in one


WORSE = Totals(duplicated_share=9.0, documented_share=9.0, quality_score=9.0)


def test_exit_code_follows_the_verdict_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    change = Change(findings=[], roles={}, before=TOTALS, after=WORSE, added_lines=100)
    expected = {
        4: judged(evaluate(DEFAULT_POLICY, change)),
        0: judged(evaluate(DEFAULT_POLICY, None)),
        1: None,  # an error must not look like an approval
    }
    for code, review in expected.items():
        assert report_verdict({"review": review}) == code
    assert report_verdict({"review": gate()}) == 0
    assert capsys.readouterr().err.splitlines() == [
        (
            "vibe8: rejected by the gate: the duplicated share rose from 1.0 to 9.0; it may rise by at most 1 "
            "(and 2 more conditions)"
        ),
        "vibe8: the gate judged nothing: there is no earlier run to compare with",
        "vibe8: the gate did not judge this run: it has no review (the worker's log says why)",
    ]
