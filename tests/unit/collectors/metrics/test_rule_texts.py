"""Texts about rules: every rule that a collector reports by default has one of its own."""

import re
import subprocess
from pathlib import Path

import pytest
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.engine.discovery import declarations
from collectors.tools.bandit_rules import BLACKLIST_ID, TEST_IDS
from domain.findings.severity import SEVERITY_RULES, UNREACHABLE_CODE
from domain.metrics.rule_texts import FindingRules, RuleText

RULES = {metric.name: metric.finding_rules for metric in declarations() if metric.finding_rules is not None}
DEFAULT = RuleText("default", "explanation", "advice")


def test_each_metric_with_findings_declares_texts() -> None:
    assert {metric.name for metric in declarations() if metric.finding_identity is not None} == set(RULES)
    assert set(RULES) == set(SEVERITY_RULES)
    assert [name for name, rules in RULES.items() if rules.security] == ["security"]


def test_each_default_rule_of_ruff_has_a_text_of_its_group(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--show-settings", str(tmp_path)]
    settings = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    enabled = settings.partition("linter.rules.enabled = [")[2].partition("]")[0]
    codes = re.findall(r"\(([A-Z]+[0-9]+)\)", enabled)
    assert len(codes) > 50
    rules = RULES["lint"]
    assert [code for code in [*codes, "invalid-syntax"] if rules.text_of(code) is rules.default] == []


def test_each_test_of_bandit_has_a_text() -> None:
    ids = {each for each in TEST_IDS.values() if each != BLACKLIST_ID}
    assert len(ids) > 60
    rules = RULES["security"]
    assert sorted(each for each in ids if rules.text_of(each) is rules.default) == ["B412"]  # CGI: as the default says


def test_unreachable_code_is_described_apart() -> None:
    rules = RULES["dead_code"]
    assert rules.text_of(UNREACHABLE_CODE) is not rules.text_of("unused-import") is rules.default


def test_longest_beginning_of_a_rule_decides() -> None:
    one, two = RuleText("one", "e", "a"), RuleText("two", "e", "a")
    rules = FindingRules(default=DEFAULT, texts={"F": one, "F40": two})
    assert [rules.text_of(rule).summary for rule in ("F401", "F40", "F4", "F", "E1", "", "F" * 9_999)] == [
        "two", "two", "one", "one", "default", "default", "one",
    ]  # fmt: skip


@pytest.mark.parametrize("texts", [("", "e", "a"), ("s" * 256, "e", "a"), ("s", "", "a"), ("s", "e", "a" * 1_025)])
def test_text_that_an_export_cannot_have_is_refused(texts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"text about a rule: 1 to \d+ characters"):
        RuleText(*texts)
