"""SARIF of a run: places, rules, states, limits, and documents of hostile text."""

import gzip
import json
import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from collectors.engine.discovery import declarations
from tests.fuzz.generators import fuzz_settings
from tests.unit.worker.export.sample_runs import document, export, finding, hostile_documents, old_finding
from worker.export.exported_run import read_run
from worker.export.sarif import RESULTS_LIMIT, sarif


def runs_of(result: dict[str, Any], profile: str = "sarif") -> dict[str, Any]:
    """Return the runs by the names of their tools."""
    return {run["tool"]["driver"]["name"]: run for run in json.loads(export(result, profile))["runs"]}


def results_of(result: dict[str, Any], tool: str = "ruff", profile: str = "sarif") -> list[Any]:
    results: list[Any] = runs_of(result, profile)[tool]["results"]
    return results


def notes_of(run: dict[str, Any]) -> list[str]:
    return [each["message"]["text"] for each in run["invocations"][0].get("toolExecutionNotifications", [])]


def test_github_gets_a_run_for_each_tool_that_makes_alerts() -> None:
    runs = runs_of(document(finding(), finding("docs", "missing-docstring", location_hash=None)))
    assert list(runs) == ["bandit", "pmd-cpd", "radon", "ruff", "vulture"]
    assert {name: len(run["results"]) for name, run in runs.items() if run["results"]} == {"ruff": 1}
    assert runs["ruff"]["automationDetails"]["id"] == "vibe8/ruff/"
    assert runs["ruff"]["columnKind"] == "unicodeCodePoints"
    assert runs["ruff"]["tool"]["driver"]["version"] == "0.17.6"


def test_full_profile_has_also_what_makes_no_alerts() -> None:
    runs = runs_of(document(finding("docs", "missing-docstring")), "sarif-full")
    assert list(runs) == ["bandit", "docstr-coverage", "pmd-cpd", "radon", "ruff", "vulture"]
    assert [each["ruleId"] for each in runs["docstr-coverage"]["results"]] == ["missing-docstring"]


def test_result_has_its_place_and_githubs_hash() -> None:
    assert results_of(document(finding(path="pkg/a b%.py"))) == [
        {
            "ruleId": "F401",
            "ruleIndex": 0,
            "level": "note",
            "message": {"text": "`os` imported but unused"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": "pkg/a%20b%25.py"},
                        "region": {"startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 9},
                    }
                }
            ],
            "partialFingerprints": {"primaryLocationLineHash": "92c227520cf339cd:1"},
        }
    ]


@pytest.mark.parametrize(
    ("place", "github", "full"),
    [
        ({"end_line": 7, "end_column": 2}, [3, 5, 3, None], [3, 5, 7, 2]),
        ({"column": None, "end_line": None, "end_column": None}, [3, 1, 3, None], [3, None, None, None]),
        ({"line": None}, [1, 1, 1, None], None),
        ({"line": 0, "column": 0}, [1, 1, 1, None], None),
        ({"end_line": 2, "end_column": 1}, [3, 5, 3, None], [3, 5, None, None]),
        ({"end_column": 4}, [3, 5, 3, None], [3, 5, 3, None]),
        ({"end_column": 5}, [3, 5, 3, 5], [3, 5, 3, 5]),
        ({"line": 2**31}, [1, 1, 1, None], None),
    ],
)
def test_region_is_one_line_for_github_and_whole_in_full(
    place: dict[str, Any], github: list[int | None], full: list[int | None] | None
) -> None:
    keys = ("startLine", "startColumn", "endLine", "endColumn")
    for profile, expected in (("sarif", github), ("sarif-full", full)):
        location = results_of(document(finding(**place)), profile=profile)[0]["locations"][0]["physicalLocation"]
        assert location.get("region") == (
            None if expected is None else {key: value for key, value in zip(keys, expected, strict=True) if value}
        )


def test_rule_says_in_our_words_what_it_finds() -> None:
    found = [finding("security", "B307", severity="medium"), finding("security", "B307", severity="high")]
    [rule] = runs_of(document(*found))["bandit"]["tool"]["driver"]["rules"]
    assert rule["id"] == "B307"
    assert rule["shortDescription"]["text"] == "Text evaluated as code"
    assert rule["defaultConfiguration"]["level"] == "error"
    assert rule["properties"] == {"tags": ["security"], "security-severity": "8.0"}
    [lint] = runs_of(document(finding()))["ruff"]["tool"]["driver"]["rules"]
    assert lint["properties"] == {"tags": ["lint"]}


@pytest.mark.parametrize(("severity", "score"), [("high", "8.0"), ("medium", "5.5"), ("low", "2.0")])
def test_security_severity_is_a_number_in_text(severity: str, score: str) -> None:
    [rule] = runs_of(document(finding("security", "B1", severity=severity)))["bandit"]["tool"]["driver"]["rules"]
    assert rule["properties"]["security-severity"] == score


def test_results_over_the_limit_are_cut_by_severity_and_counted() -> None:
    severities = ["low"] * RESULTS_LIMIT + ["high"] * 7 + ["medium"] * 3
    found = [finding(severity=severity, line=line) for line, severity in enumerate(severities, start=1)]
    run = runs_of(document(*found))["ruff"]
    assert Counter(each["level"] for each in run["results"]) == {"note": RESULTS_LIMIT - 10, "error": 7, "warning": 3}
    lines = [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in run["results"]]
    assert lines == sorted(lines)
    assert notes_of(run) == ["10 of 5,010 findings are left out: 10 low"]
    assert len(results_of(document(*found), profile="sarif-full")) == len(found)


def test_file_over_the_size_limit_is_cut_until_it_fits() -> None:
    noise = random.Random(1)
    found = [finding(severity="info", message=noise.randbytes(150).hex()) for _ in range(400)]
    found.append(finding(severity="high", message="kept"))
    run = read_run(document(*found), declarations())
    data = sarif(run, gzip_limit=20_000)
    assert len(gzip.compress(data, 6)) <= 20_000 < len(gzip.compress(sarif(run)))
    [ruff] = [each for each in json.loads(data)["runs"] if each["tool"]["driver"]["name"] == "ruff"]
    assert 30 < len(ruff["results"]) < 150
    assert ruff["results"][-1]["message"]["text"] == "kept"
    [note] = notes_of(ruff)
    assert note == f"{401 - len(ruff['results'])} of 401 findings are left out: {401 - len(ruff['results'])} info"


def test_tool_that_measured_nothing_closes_no_alerts() -> None:
    result = document()
    result["completeness"]["collectors"] |= {"lint": "failed", "security": "not_requested", "dupes": "partial"}
    assert list(runs_of(result)) == ["pmd-cpd", "radon", "vulture"]
    full = runs_of(result, "sarif-full")
    assert notes_of(full["ruff"]) == ["lint is incomplete: failed"]
    assert full["ruff"]["invocations"][0]["executionSuccessful"] is False
    assert notes_of(full["pmd-cpd"]) == ["dupes is incomplete: partial"]
    assert full["pmd-cpd"]["invocations"][0]["executionSuccessful"] is True


def test_what_the_run_does_not_know_is_said() -> None:
    result = document(finding(), None, {"path": ""})
    result["findings"]["total"] = 60_000
    result["completeness"]["skipped_total"] = 2
    assert notes_of(runs_of(result)["ruff"]) == [
        "2 files or directories were skipped",
        "59,997 findings of all tools together were not stored",
        "2 stored findings have no path",
    ]


@pytest.mark.parametrize(
    ("state", "since", "expected"),
    [
        ("new", "2026-01-01", "new"),
        ("unchanged", "2026-01-01", "unchanged"),
        ("moved", "2026-01-01", "updated"),
        ("updated", "2026-01-01", "updated"),
        ("tool_changed", None, "new"),
        ("tool_changed", "2026-01-01", "updated"),
        ("not_measured", None, "new"),
    ],
)
def test_full_profile_has_the_state_of_each_finding(state: str, since: str | None, expected: str) -> None:
    result = document(finding(state=state, first_seen_at=since))
    [found] = results_of(result, profile="sarif-full")
    assert found["baselineState"] == expected
    assert found["properties"]["state"] == state
    assert "baselineState" not in results_of(result)[0]


def test_fixed_findings_are_absent_in_full_and_missing_for_github() -> None:
    gone = finding(rule="F811", state="fixed", path="old.py")
    result = document(finding(state="new"), comparison={"fixed": {"total": 1, "items": [gone]}})
    assert [(each["ruleId"], each["baselineState"]) for each in results_of(result, profile="sarif-full")] == [
        ("F401", "new"),
        ("F811", "absent"),
    ]
    assert [each["ruleId"] for each in results_of(result)] == ["F401"]


def test_full_profile_has_all_hashes() -> None:
    [found] = results_of(document(finding(function="f")), profile="sarif-full")
    assert found["fingerprints"] == {"vibe8/v1": "0ced694f80d55b54"}
    assert found["partialFingerprints"] == {
        "primaryLocationLineHash": "92c227520cf339cd:1",
        "vibe8LineHash/v1": "cba0263647769a2b",
    }
    assert found["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "f"}]


def test_finding_of_an_earlier_version_is_exported() -> None:
    [found] = results_of(document(old_finding("security", "B602")), "bandit")
    assert found["level"] == "note"
    assert "partialFingerprints" not in found


def test_message_cannot_contain_links_or_placeholders() -> None:
    [found] = results_of(document(finding(message="see [here](https://evil.test) and {0}, a[0] {x}")))
    assert found["message"]["text"] == r"see \[here](https://evil.test) and {{0}}, a\[0] {x}"


def check_sarif(data: bytes) -> int:
    """Check what the specification and GitHub demand, and return the number of results."""
    log = json.loads(data)
    assert log["version"] == "2.1.0"
    check_values(log)
    for run in log["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert len(set(rules)) == len(rules)
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
            assert result["level"] in ("error", "warning", "note")
            place = result["locations"][0]["physicalLocation"]
            assert re.fullmatch(r"(?!/)(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", place["artifactLocation"]["uri"])
            check_region(place.get("region", {}))
    return sum(len(run["results"]) for run in log["runs"])


def check_region(region: dict[str, int]) -> None:
    assert all(1 <= value < 2**31 for value in region.values())
    line, column = region.get("startLine", 1), region.get("startColumn", 1)
    assert region.get("endLine", line) >= line
    if region.get("endLine", line) == line:
        assert region.get("endColumn", column) >= column


def check_values(value: Any) -> None:
    """Assert that there is no null, no empty text and no empty name in the document."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert key
            check_values(item)
    elif isinstance(value, list):
        for item in value:
            check_values(item)
    else:
        assert value is not None
        assert value != ""


@pytest.mark.parametrize("profile", ["sarif", "sarif-full"])
def test_hostile_documents_give_valid_sarif(profile: str) -> None:
    seen = 0

    @fuzz_settings(40)
    @given(result=hostile_documents())
    def check(result: dict[str, Any]) -> None:
        nonlocal seen
        seen += check_sarif(export(result, profile))

    check()
    assert seen > 5
