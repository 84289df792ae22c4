"""The list of findings, its cut by severity, and the aggregates of the files of each role."""

from pathlib import Path
from typing import Any

from collectors.engine.analysis import Options, analyse
from collectors.engine.summaries import Summary, list_findings, with_location_hashes
from collectors.metrics.docs import METRIC as DOCS
from collectors.metrics.dupes import METRIC as DUPES
from domain.findings.location_hash import LocationHasher
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.metrics.report import Finding, Report
from domain.sources import FetchedSource
from tests.unit.collectors.source_trees import load_tree

TREE = {
    "pkg/a.py": "import os\n\n\ndef f(x):\n    assert x\n    return eval(x)\n",
    "pkg/b.py": '"""Documented."""\n',
    "tests/test_a.py": "import os\nimport sys\n\n\ndef test_f():\n    assert 1\n    assert 2\n",
    "docs/conf.py": "x = 1\n",
    "broken/test_b.py": "def f(:\n",
}


def finding(severity: str, line: int, metric: str = "dupes") -> Finding:
    level = FindingSeverity(severity)
    return Finding(metric=metric, rule="R", severity=level, path="a.py", line=line, message="m", identity=str(line))


def listed(findings: list[Finding], limit: int) -> dict[str, Any]:
    return list_findings({"dupes": Summary.from_report(Report(aggregate={}), DUPES, findings, None)}, limit)


def test_list_is_cut_by_severity_and_the_cut_is_counted() -> None:
    findings = [finding(severity, line) for line, severity in enumerate([*SEVERITIES] * 3)]
    whole = listed(findings, 12)
    assert [item["line"] for item in whole["items"]] == list(range(12))
    assert whole["cut"] == {}
    cut = listed(findings, 7)
    assert (cut["total"], cut["cut"]) == (12, {"dupes": {"info": 3, "low": 2}})
    assert [item["severity"] for item in cut["items"]] == ["low", "medium", "high", "medium", "high", "medium", "high"]
    assert listed(findings, 0)["cut"] == {"dupes": dict.fromkeys(("info", "low", "medium", "high"), 3)}


def test_every_text_of_a_finding_is_printable_whatever_cached_facts_say() -> None:
    names = ("rule", "message", "identity", "function", "line_hash", "location_hash")
    texts: dict[str, Any] = dict.fromkeys(names, "\ud800\x00")
    forged = finding("low", 1)._replace(**texts)
    (item,) = listed([forged], 1)["items"]
    assert {item[key] for key in texts} == {"\\ud800\\x00"}


def test_location_hash_is_added_where_the_facts_of_a_file_cannot_have_it(tmp_path: Path) -> None:
    text = b"x = 1\ny = 2\n"
    (tmp_path / "a.py").write_bytes(text)
    known = finding("low", 1)
    locations = {"a.py": tmp_path / "a.py"}
    assert [each.location_hash for each in with_location_hashes([known], DUPES, locations)] == [
        LocationHasher(text).at(1)
    ]
    assert [each.location_hash for each in with_location_hashes([known], DOCS, locations)] == [None]
    assert [each.location_hash for each in with_location_hashes([known], DUPES, {})] == [None]


def analyse_tree(root: Path, names: list[str]) -> dict[str, Any]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(TREE[name])
    return analyse(load_tree(root), FetchedSource(has_history=False), Options(processes=1)).document()


def test_aggregates_by_role_equal_those_of_a_tree_of_these_files_alone(tmp_path: Path) -> None:
    metrics = analyse_tree(tmp_path / "all", list(TREE))["metrics"]
    alone = analyse_tree(tmp_path / "source", ["pkg/a.py", "pkg/b.py"])["metrics"]
    assert "by_role" not in metrics["churn"]
    assert "by_role" not in metrics["deps"]
    for name in ("lint", "cyclomatic", "docs", "mi", "security", "size"):
        source = {key: value for key, value in alone[name].items() if key != "by_role"}
        assert metrics[name]["by_role"]["source"] == source, name
        assert alone[name]["by_role"] == {"source": source}
    assert set(metrics["size"]["by_role"]) == {"source", "test", "docs"}
    assert metrics["security"]["by_role"]["test"]["low"] == 2
    assert metrics["security"]["low"] == 3
    for name, key in (("dead_code", "unused_symbols"), ("dupes", "duplicate_lines"), ("lint", "total")):
        assert sum(role[key] for role in metrics[name]["by_role"].values()) == metrics[name][key]


def test_role_whose_files_do_not_parse_has_nulls(tmp_path: Path) -> None:
    metrics = analyse_tree(tmp_path, ["pkg/a.py", "broken/test_b.py"])["metrics"]
    assert metrics["docs"]["by_role"]["test"] == {"coverage_pct": None}
    assert metrics["size"]["by_role"]["test"] == {"files": 1, "sloc": None, "avg_file_sloc": None}
