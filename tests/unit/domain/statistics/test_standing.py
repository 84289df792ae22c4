"""Where a project stands among other packages: its numbers, their percentiles, and the grade."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.findings.measured_run import iter_files
from domain.metrics.scoring import quality_score
from domain.statistics.standing import HIGHER_IS_BETTER, Calibration, source_files, source_numbers, standing

TOOLS = {"ruff": "1", "radon": "2"}
TEN = Calibration(
    packages={f"p{number}": "1" for number in range(10)},
    tool_versions=TOOLS,
    values={name: [float(number) for number in range(10)] for name in HIGHER_IS_BETTER},
)


def numbers(**given: float | None) -> dict[str, float | None]:
    return {**dict.fromkeys(HIGHER_IS_BETTER), **given}


def test_percentile_is_the_share_of_worse_packages() -> None:
    found = standing(numbers(quality_score=7.0, lint_per_1000_lines=2.0), TOOLS, TEN)
    assert found.percentiles == {"quality_score": 75.0, "lint_per_1000_lines": 75.0}


@pytest.mark.parametrize(
    ("score", "grade"), [(-1, "E"), (1, "E"), (2, "D"), (4, "C"), (5, "C"), (6, "B"), (8, "A"), (99, "A")]
)
def test_grade_is_the_fifth_of_the_score(score: float, grade: str) -> None:
    assert standing(numbers(quality_score=score), TOOLS, TEN).grade == grade


def test_without_a_score_there_is_no_grade() -> None:
    assert standing(numbers(maintainability=1.0), TOOLS, TEN).grade is None


def test_nothing_is_known_with_another_version_of_a_tool() -> None:
    found = standing(numbers(quality_score=7.0), {**TOOLS, "ruff": "3"}, TEN)
    assert (found.percentiles, found.grade) == ({}, None)
    assert found.reason == "the packages were measured with another version of ruff"
    assert standing(numbers(quality_score=7.0), {**TOOLS, "git": "9"}, TEN).reason is None


def test_numbers_are_those_of_source_files() -> None:
    golden = Path(__file__).parents[2] / "collectors/engine/result_document.json"
    document: dict[str, Any] = json.loads(golden.read_text())
    files = source_files(iter_files(document["file_tree"]))
    found = source_numbers(document["metrics"], files, 71.5)
    source = {name: values["by_role"]["source"] for name, values in document["metrics"].items() if "by_role" in values}
    assert found == {
        "quality_score": 71.5,
        "average_complexity": source["cyclomatic"]["avg_cc"],
        "highest_complexity": max(file["complexity"]["value"] or 0 for file in files),
        "lint_per_1000_lines": source["lint"]["total"] * 1000 / source["size"]["sloc"],
        "dead_code_per_1000_lines": source["dead_code"]["unused_symbols"] * 1000 / source["size"]["sloc"],
        "security_high_per_1000_lines": source["security"]["high"] * 1000 / source["size"]["sloc"],
        "security_medium_per_1000_lines": 0.0,
        "security_low_per_1000_lines": source["security"]["low"] * 1000 / source["size"]["sloc"],
        "documented_share": source["docs"]["coverage_pct"],
        "maintainability": source["mi"]["mi_avg"],
        "duplicated_share": source["dupes"]["duplicate_pct"],
    }


def test_numbers_that_were_not_measured_are_unknown() -> None:
    found = source_numbers({"lint": {"total": None}, "size": None, "churn": {"totalChurn": 1}}, [], None)
    assert set(found.values()) == {None}


def test_calibration_survives_json() -> None:
    assert Calibration.from_json(json.loads(json.dumps(TEN.to_json()))) == TEN


@pytest.mark.parametrize(
    ("files", "score"),
    [([], None), ([(None, 10), (80.0, None), (80.0, 0)], None), ([(90.0, 30), (50.0, 10), (None, 99)], 80.0)],
)
def test_quality_score_is_weighted_by_source_lines(
    files: list[tuple[float | None, int | None]], score: float | None
) -> None:
    assert quality_score(files) == score
