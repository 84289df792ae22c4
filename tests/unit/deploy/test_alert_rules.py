import re
from typing import Any

import pytest

from domain import errors
from domain.jobs import JobStatus
from tests.unit.deploy.project_files import DEPLOY, ROOT, documents
from tests.unit.deploy.promql import check

(FILE,) = documents(DEPLOY / "prometheus/alerts.yml")
RULES = [rule for group in FILE["groups"] for rule in group["rules"]]
SOURCE = "".join(path.read_text() for room in ("worker", "infrastructure") for path in (ROOT / room).rglob("*.py"))
HEADINGS = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
rules = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


@rules
def test_a_rule_is_complete(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert rule["annotations"]["summary"].endswith(".")
    for template in re.findall(r"\{\{(.*?)\}\}", rule["annotations"]["summary"]):
        assert re.fullmatch(r" \$(value|labels\.\w+)( \| humanize(Duration)?)? ", template)


@rules
def test_it_waits_unless_it_looks_back(rule: dict[str, Any]) -> None:
    """A state of a moment is no news; what is counted over a quarter of an hour or more is."""
    ranges = [int(minutes) for minutes in re.findall(r"\[(\d+)m\]", rule["expr"])]
    assert "for" in rule or "[1h]" in rule["expr"] or min(ranges) >= 15


@rules
def test_it_asks_for_what_a_replica_tells(rule: dict[str, Any]) -> None:
    expression = check(rule["expr"])
    for series in expression.series:
        for label, _, values in series.matchers:
            for value in values.split("|"):
                assert _is_told(label, value), f"{series.name} never has {label}={value!r}"


def _is_told(label: str, value: str) -> bool:
    if label == "status":
        return value in set(JobStatus)
    if label == "kind":
        return isinstance(getattr(errors, value, None), type)
    return f'"{value}"' in SOURCE


@rules
def test_the_summary_names_labels_that_are_left(rule: dict[str, Any]) -> None:
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert f"by ({label})" in rule["expr"] or "sum" not in rule["expr"]


@rules
def test_the_runbook_has_its_page(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert rule["alert"] in HEADINGS


def test_the_runbook_has_no_page_for_an_alert_that_is_gone() -> None:
    assert [name for name in HEADINGS if name.startswith("Vibe8")] == [rule["alert"] for rule in RULES]


def test_every_rule_is_tried_by_promtools_cases() -> None:
    (cases,) = documents(DEPLOY / "prometheus/alerts.test.yml")
    tried = [case for test in cases["tests"] for case in test["alert_rule_test"]]
    for rule in RULES:
        expected = [case["exp_alerts"] for case in tried if case["alertname"] == rule["alert"]]
        assert any(expected), f"{rule['alert']} never fires in alerts.test.yml"
        assert [] in expected, f"{rule['alert']} always fires in alerts.test.yml"


def test_the_example_configuration_reads_these_rules_from_the_workers() -> None:
    (config,) = documents(DEPLOY / "prometheus/prometheus.yml")
    assert config["rule_files"] == ["alerts.yml"]
    (scrape,) = config["scrape_configs"]
    (compose,) = documents(ROOT / "docker-compose.yml")
    (names,) = scrape["dns_sd_configs"]
    (service,) = names["names"]
    assert str(names["port"]) == compose["services"][service]["environment"]["STATUS_PORT"]
