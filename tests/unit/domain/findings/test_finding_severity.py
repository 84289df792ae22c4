from collectors.engine.discovery import declarations
from domain.findings.severity import (
    SEVERITIES,
    SEVERITY_RULES,
    complexity_severity,
    dead_code_severity,
    duplication_severity,
    lint_severity,
)


def test_each_metric_with_findings_has_a_rule() -> None:
    assert set(SEVERITY_RULES) == {metric.name for metric in declarations() if metric.finding_identity is not None}


def test_lint_is_medium_where_code_cannot_run_or_does_not_do_what_it_says() -> None:
    medium = ["invalid-syntax", "E902", "E999", "F502", "F632", "F702", "F821", "F822", "F823", "PLE0101"]
    low = ["F401", "F811", "F841", "E711", "E701", "W605", "PLW0127", "I001", "B006", "RUF100", "FURB105"]
    assert {lint_severity(rule) for rule in medium} == {"medium"}
    assert {lint_severity(rule) for rule in low} == {"low"}


def test_thresholds_of_numbers() -> None:
    assert [complexity_severity(number) for number in (11, 20, 21, 30, 31)] == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
    ]
    assert [duplication_severity(lines) for lines in (1, 19, 20, 99, 100)] == ["low", "low", "medium", "medium", "high"]


def test_unreachable_code_is_medium() -> None:
    assert dead_code_severity("unreachable-code") == "medium"
    assert dead_code_severity("unused-function") == "low"


def test_ranks_rise() -> None:
    assert [severity.rank for severity in SEVERITIES] == [0, 1, 2, 3]
    assert SEVERITIES == ("info", "low", "medium", "high")
