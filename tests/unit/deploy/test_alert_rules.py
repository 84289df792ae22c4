"""The alert rules: complete, about metrics that exist, with a runbook section each."""

import re
from typing import Any

import pytest

from domain import errors
from domain.jobs import JobStatus
from tests.unit.deploy.project_files import DEPLOY, ROOT, documents
from tests.unit.deploy.promql import check

(FILE,) = documents(DEPLOY / "prometheus/alerts.yml")
RULES = [rule for group in FILE["groups"] for rule in group["rules"]]
PACKAGES = (ROOT / "worker", ROOT / "infrastructure")
SOURCE = "".join(path.read_text() for package in PACKAGES for path in package.rglob("*.py"))
HEADINGS = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
rules = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


@rules
def test_a_rule_has_all_fields(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    for template in re.findall(r"\{\{(.*?)\}\}", rule["annotations"]["summary"]):
        assert re.fullmatch(r" \$(value|labels\.\w+)( \| humanize(Duration)?)? ", template)


@rules
def test_a_rule_waits_or_uses_a_long_range(rule: dict[str, Any]) -> None:
    """An alert must not fire on a momentary state, so it waits, or counts over 15 minutes or more."""
    ranges = [int(minutes) for minutes in re.findall(r"\[(\d+)m\]", rule["expr"])]
    assert "for" in rule or "[1h]" in rule["expr"] or min(ranges) >= 15


@rules
def test_a_rule_uses_only_metrics_and_label_values_of_a_replica(rule: dict[str, Any]) -> None:
    expression = check(rule["expr"])
    for series in expression.series:
        for label, _, values in series.matchers:
            for value in values.split("|"):
                assert _exists(label, value), f"{series.name} never has {label}={value!r}"


def _exists(label: str, value: str) -> bool:
    if label == "status":
        return value in set(JobStatus)
    if label == "kind":
        return isinstance(getattr(errors, value, None), type)
    return f'"{value}"' in SOURCE


@rules
def test_the_summary_uses_only_labels_of_the_result(rule: dict[str, Any]) -> None:
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert f"by ({label})" in rule["expr"] or "sum" not in rule["expr"]


@rules
def test_every_alert_links_to_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    """The base is empty or the operator's: this project has no address of its own."""
    base, _, target = rule["annotations"]["runbook_url"].rpartition("}}")
    assert base == "{{ $externalLabels.vibe8_repository "
    assert target == f"docs/operations.md#{rule['alert'].lower()}"
    assert rule["alert"] in HEADINGS


def test_every_runbook_section_has_an_alert() -> None:
    assert [name for name in HEADINGS if name.startswith("Vibe8")] == [rule["alert"] for rule in RULES]


def test_promtool_cases_cover_every_rule() -> None:
    (cases,) = documents(DEPLOY / "prometheus/alerts.test.yml")
    tried = [case for test in cases["tests"] for case in test["alert_rule_test"]]
    for rule in RULES:
        expected = [case["exp_alerts"] for case in tried if case["alertname"] == rule["alert"]]
        assert any(expected), f"{rule['alert']} never fires in alerts.test.yml"
        assert [] in expected, f"{rule['alert']} always fires in alerts.test.yml"


def test_the_example_configuration_loads_the_rules_and_scrapes_the_workers() -> None:
    (config,) = documents(DEPLOY / "prometheus/prometheus.yml")
    assert config["rule_files"] == ["alerts.yml"]
    (scrape,) = config["scrape_configs"]
    (compose,) = documents(ROOT / "docker-compose.yml")
    (names,) = scrape["dns_sd_configs"]
    (service,) = names["names"]
    assert "vibe8_repository:" in (DEPLOY / "prometheus/prometheus.yml").read_text()
    assert str(names["port"]) == compose["services"][service]["environment"]["STATUS_PORT"]
