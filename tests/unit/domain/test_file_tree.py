from typing import Any

from collectors.engine.discovery import declarations
from domain.metrics.file_tree import FileMetrics, MeasuredFile, build_file_tree

DECLARED = declarations()
NUMBERS: dict[str, dict[str, Any]] = {
    "cyclomatic": {"max": 12, "avg": 3.5},
    "lint": {"count": 3, "suppressed": 1},
    "security": {"high": 0, "medium": 1, "low": 2, "suppressed": 0},
    "docs": {"coverage_pct": 75.0},
    "mi": {"value": 70.0},
    "dead_code": {"count": 5, "suppressed": 1},
    "dupes": {"lines": 0},
    "churn": {"lines": 501},
}


def test_file_metrics_have_values_and_severities_in_the_declared_order() -> None:
    metrics = FileMetrics(DECLARED).of(MeasuredFile(path="a.py", size=10, sloc=100, numbers=NUMBERS))
    health, without_churn = metrics.pop("health_score"), metrics.pop("health_without_churn")
    assert list(metrics) == [
        "complexity", "lint", "security", "docs", "maintainability", "dead_code", "duplication", "churn", "size",
    ]  # fmt: skip
    assert metrics == {
        "complexity": {"value": 12, "avg": 3.5, "severity": "high"},
        "lint": {"count": 3, "suppressed": 1, "severity": "medium"},
        "security": {"high": 0, "medium": 1, "low": 2, "suppressed": 0, "severity": "medium"},
        "docs": {"value": 75.0, "severity": "medium"},
        "maintainability": {"value": 70.0, "severity": "low"},
        "dead_code": {"count": 5, "suppressed": 1, "severity": "high"},
        "duplication": {"count": 0, "suppressed": None, "severity": "low"},
        "churn": {"count": 501, "severity": "high"},
        "size": {"sloc": 100},
    }
    assert 0 < health < without_churn < 100
    lines_alone = {name: numbers for name, numbers in NUMBERS.items() if name != "churn"}
    unchanged = FileMetrics(DECLARED).of(MeasuredFile(path="a.py", size=10, sloc=100, numbers=lines_alone))
    assert unchanged["health_score"] == unchanged["health_without_churn"] == without_churn


def test_numbers_that_were_not_measured_are_null() -> None:
    metrics = FileMetrics(DECLARED).of(MeasuredFile(path="a.py", size=10, sloc=None, parse_error="SyntaxError"))
    assert metrics["complexity"] == {"value": None, "avg": None, "severity": None}
    assert metrics["security"]["severity"] is None
    assert metrics["churn"] == {"count": None, "severity": None}
    assert metrics["health_score"] is None


def test_density_is_unknown_where_lines_cannot_be_counted() -> None:
    metrics = FileMetrics(DECLARED).of(MeasuredFile(path="a.py", size=10, sloc=None, numbers=NUMBERS))
    assert metrics["lint"] == {"count": 3, "suppressed": 1, "severity": None}
    assert metrics["dead_code"]["severity"] is metrics["duplication"]["severity"] is None
    assert metrics["complexity"]["severity"] == "high"
    assert metrics["health_score"] is None


def test_directories_come_before_files_each_by_name() -> None:
    files = {
        path: MeasuredFile(path=path, size=1, sloc=1, parse_error="bad" if path == "b/z.py" else None)
        for path in ("z.py", "b/c/d.py", "a.py", "b/z.py", "b/c/e")
    }
    root = build_file_tree(files, DECLARED)
    assert (root["name"], root["type"], root["path"]) == ("root", "directory", "")
    assert [child["path"] for child in root["children"]] == ["b", "a.py", "z.py"]
    b = root["children"][0]
    assert [child["path"] for child in b["children"]] == ["b/c", "b/z.py"]
    assert b["children"][1]["parse_error"] == "bad"
    leaf = b["children"][0]["children"][0]
    assert (leaf["name"], leaf["extension"], leaf["size"]) == ("d.py", ".py", 1)
    assert "parse_error" not in leaf
    assert b["children"][0]["children"][1]["extension"] == ""
