"""GitLab's report, CSV and badges of a run."""

import csv
import io
import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given

from domain.errors import InvalidInputError
from tests.fuzz.generators import fuzz_settings
from tests.unit.worker.export.sample_runs import (
    HOSTILE,
    document,
    export,
    file_node,
    finding,
    hostile_documents,
    old_finding,
)
from worker.export.export_format import ExportFormat

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(result: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(result, "csv").decode(), newline="")))


def gitlab_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    report: list[dict[str, Any]] = json.loads(export(result, "gitlab"))
    return report


def badge_of(result: dict[str, Any], **options: Any) -> dict[str, Any]:
    badge: dict[str, Any] = json.loads(export(result, "badge-json", **options))
    return badge


# GitLab


def test_gitlab_item_has_what_gitlab_reads() -> None:
    [item] = gitlab_of(document(finding("security", "B602", severity="high", end_line=4)))
    assert {key: value for key, value in item.items() if key != "fingerprint"} == {
        "description": "`os` imported but unused",
        "check_name": "security/B602",
        "severity": "critical",
        "location": {"path": "a.py", "lines": {"begin": 3, "end": 4}},
    }
    assert len(item["fingerprint"]) == 64


def test_gitlab_severities_keep_their_order() -> None:
    found = [finding(severity=severity) for severity in ("info", "low", "medium", "high")]
    assert [item["severity"] for item in gitlab_of(document(*found))] == ["info", "minor", "major", "critical"]


def test_gitlab_fingerprints_are_unique_and_do_not_depend_on_lines() -> None:
    found = [finding(line=1), finding(line=2), finding(path="b.py"), old_finding(), old_finding(line=9)]
    before = [item["fingerprint"] for item in gitlab_of(document(*found))]
    assert len(set(before)) == len(before)
    moved = [{**item, "line": item["line"] + 10} for item in found]
    assert [item["fingerprint"] for item in gitlab_of(document(*moved))] == before


def test_gitlab_gets_a_finding_without_a_line_at_the_first() -> None:
    assert gitlab_of(document(finding(line=None)))[0]["location"]["lines"] == {"begin": 1}


# CSV


def test_csv_has_a_row_for_each_finding() -> None:
    [row] = rows_of(document(finding(state="new", message='a "b", c'), files=[file_node("a.py", role="test")]))
    assert row == {
        "metric": "lint",
        "rule": "F401",
        "severity": "low",
        "path": "a.py",
        "line": "3",
        "column": "5",
        "end_line": "3",
        "end_column": "9",
        "function": "",
        "message": 'a "b", c',
        "role": "test",
        "state": "new",
        "first_seen_at": "",
        "fingerprint": "0ced694f80d55b54",
    }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd()", "'=cmd()"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\uff1dcmd()", "'\uff1dcmd()"),
        ("x;=cmd()", "x;'=cmd()"),
        ("x; =cmd()", "x; '=cmd()"),
        ("a = b", "a = b"),
        ("x\n=cmd()", "x =cmd()"),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    assert rows_of(document(finding(message=text)))[0]["message"] == cell


def test_path_that_begins_like_a_formula_is_none() -> None:
    [row] = rows_of(document(finding(path="=HYPERLINK(1).py"), finding(path="\t=x.py")))[:1]
    assert row["path"] == "'=HYPERLINK(1).py"
    assert rows_of(document(finding(path="\t=x.py")))[0]["path"] == "\\t=x.py"


# Badges


@pytest.mark.parametrize(("health", "color"), [(80, "2e7d32"), (79, "8a6100"), (50, "8a6100"), (49.4, "b3261e")])
def test_badge_is_the_quality_of_the_source_files_by_their_lines(health: float, color: str) -> None:
    files = [
        file_node("a.py", health=health, sloc=30),
        file_node("b.py", health=health, sloc=10),
        file_node("c.py", health=health, sloc=1),
        file_node("test_a.py", health=1.0, sloc=1_000, role="test"),
        file_node("broken.py", health=None),
        file_node("unread.py", health=1.0, sloc=None),
    ]
    assert badge_of(document(files=files)) == {
        "schemaVersion": 1,
        "label": "vibe8 quality",
        "message": f"{health:.0f} / 100",
        "color": color,
    }


def test_badge_weighs_files_by_source_lines() -> None:
    files = [file_node("a.py", health=100.0, sloc=30), file_node("b.py", health=0.0, sloc=10)]
    assert badge_of(document(files=files))["message"] == "75 / 100"


def test_badge_shows_the_stored_score_and_a_rejection() -> None:
    assert badge_of(document(quality_score=91.2))["message"] == "91 / 100"
    rejected = badge_of(document(quality_score=91.2, review={"verdict": "REJECTED"}))
    assert (rejected["message"], rejected["color"]) == ("91 / 100, rejected", "b3261e")


def test_badge_of_a_tree_without_source_is_unknown() -> None:
    badge = badge_of(document(files=[file_node("a.py", health=None)]))
    assert (badge["message"], badge["color"]) == ("unknown", "5f6368")


def test_badge_shows_one_metric() -> None:
    result = document()
    result["metrics"]["docs"] = {"coverage_pct": 61.27}
    result["metrics"]["security"] = {"high": 0, "medium": 1, "low": 0, "suppressed": 0, "security_score": 95.0}
    assert badge_of(result, metric="security") | {"schemaVersion": 1} == {
        "schemaVersion": 1,
        "label": "security",
        "message": "95 / 100",
        "color": "2e7d32",
    }
    assert badge_of(result, metric="docs")["message"] == "61.3 % documented"
    assert badge_of(result, metric="lint")["message"] == "not measured"


def test_unknown_metric_of_a_badge_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="there is no metric 'novelty'; there are churn, cyclomatic"):
        export(document(), "badge", metric="novelty")
    with pytest.raises(InvalidInputError, match="a metric can be chosen for a badge only, and csv is none"):
        export(document(), "csv", metric="lint")


def test_badge_is_an_image_that_says_what_it_shows() -> None:
    root = ET.fromstring(export(document(quality_score=91.2), "badge"))  # noqa: S314 - our own
    assert root.get("aria-label") == "vibe8 quality of https://github.com/o/r: 91 / 100"
    assert [text.text for text in root.iter(f"{SVG}text")] == ["vibe8 quality", "91 / 100"]
    left, right = root.findall(f"{SVG}rect")
    assert int(left.get("width", 0)) + int(right.get("width", 0)) == int(root.get("width", 0))
    assert {element.tag for element in root.iter()} == {
        SVG + name for name in ("svg", "title", "rect", "g", "text")
    }  # no script, style or link


def test_badge_names_the_project_and_the_day() -> None:
    source = {"project_name": 'Shop & "Co"', "created_at": "2026-11-30T18:02:11.5+00:00"}
    root = ET.fromstring(export(document(quality_score=91.2, source=source), "badge"))  # noqa: S314 - our own
    assert root.get("aria-label") == 'vibe8 quality of Shop & "Co" on 2026-11-30: 91 / 100'
    assert root.findtext(f"{SVG}title") == root.get("aria-label")


# Hostile text


@pytest.mark.parametrize("name", [each for each in ExportFormat if not each.startswith("sarif")])
def test_hostile_documents_give_valid_documents(name: str) -> None:
    @fuzz_settings(25)
    @given(result=hostile_documents())
    def check(result: dict[str, Any]) -> None:
        data = export(result, name).decode()
        if name == "gitlab":
            report = json.loads(data)
            assert len({item["fingerprint"] for item in report}) == len(report)
            assert all(item["description"] and item["location"]["path"] for item in report)
        elif name == "csv":
            cells = [cell for row in csv.reader(io.StringIO(data, newline="")) for cell in row]
            assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
        elif name == "badge":
            ET.fromstring(data)  # noqa: S314 - our own

    check()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_changes_no_rows(text: str) -> None:
    found = finding(path=f"a{text}.py", message=text, function=text, rule=text)
    assert [row["metric"] for row in rows_of(document(found, finding()))] == ["lint", "lint"]
    assert len(gitlab_of(document(found, finding()))) == 2
