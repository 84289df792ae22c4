"""The quality gate: each condition's answer, and the verdict."""

from collections.abc import Mapping
from typing import Any

import pytest

from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.gate.evaluation import SHOWN_FINDINGS, Answer, Change, GateResult, Status, Totals, Verdict, evaluate
from domain.gate.policy import DEFAULT_POLICY, Condition, ConditionKind, Policy

SAME = Totals(duplicated_share=10.0, documented_share=60.0, quality_score=80.0)
ROLES = {"src/a.py": "source", "tests/test_a.py": "test"}


def finding(state: str = "new", severity: str = "medium", metric: str = "lint", **more: Any) -> dict[str, Any]:
    return {"path": "src/a.py", "line": 1, "state": state, "severity": severity, "metric": metric, **more}


def judge(*findings: Mapping[str, Any], policy: Policy = DEFAULT_POLICY, **change: Any) -> GateResult:
    values = {"roles": ROLES, "before": SAME, "after": SAME, "added_lines": 200, **change}
    return evaluate(policy, Change(findings=findings, **values))


def answer(result: GateResult, kind: ConditionKind) -> Answer:
    return next(each for each in result.answers if each.condition.kind is kind)


def test_change_without_findings_is_approved() -> None:
    result = judge()
    assert result.verdict is Verdict.APPROVED
    assert {each.status for each in result.answers} == {Status.PASSED}


def test_without_a_baseline_nothing_is_evaluated() -> None:
    result = evaluate(DEFAULT_POLICY, None)
    assert result.verdict is Verdict.NOT_EVALUATED
    assert {(each.status, each.reason) for each in result.answers} == {
        (Status.NOT_EVALUATED, "there is no earlier run to compare with")
    }


@pytest.mark.parametrize(
    "rejected",
    [
        finding(),
        finding(severity="high"),
        finding("updated", "high", severity_before="medium"),
        finding("updated", "medium", "security", severity_before="medium"),
        finding("updated", "medium", "security", severity_before="high"),
    ],
)
def test_new_or_worse_finding_of_source_code_rejects(rejected: Mapping[str, Any]) -> None:
    result = judge(rejected)
    assert result.verdict is Verdict.REJECTED
    found = answer(result, ConditionKind.NEW_FINDINGS)
    assert (found.status, found.value, list(found.findings)) == (Status.FAIL, 1, [rejected])
    assert found.reason == "1 finding of medium severity or above is new or has become worse; at most 0 may be"


@pytest.mark.parametrize(
    "accepted",
    [
        finding(path="tests/test_a.py"),
        finding("unchanged", "high"),
        finding("moved", "high"),
        finding("tool_changed", "high"),
        finding("not_measured", "high"),
        finding("updated", "medium", severity_before="high"),
        finding("updated", "medium", severity_before="medium"),
        finding("updated", "high"),  # a run of an earlier version does not say what it was
        finding("updated", "low", "security", severity_before="low"),
        finding("new", "low", "cyclomatic"),
    ],
)
def test_other_finding_does_not_reject(accepted: Mapping[str, Any]) -> None:
    assert judge(accepted).verdict is Verdict.APPROVED


@pytest.mark.parametrize(
    ("count", "added", "status", "value"),
    [
        (4, 200, Status.PASSED, 2.0),
        (5, 200, Status.FAIL, 2.5),
        (1, 20, Status.FAIL, 5.0),
        (9, 19, Status.WAIVED, None),
        (0, 0, Status.WAIVED, None),
        (9, None, Status.NOT_EVALUATED, None),
    ],
)
def test_low_findings_are_judged_per_100_added_lines(
    count: int, added: int | None, status: Status, value: float | None
) -> None:
    result = judge(*[finding(severity="low", metric="dead_code")] * count, added_lines=added)
    found = answer(result, ConditionKind.NEW_FINDINGS_PER_100_LINES)
    assert (found.status, found.value, len(found.findings)) == (status, value, count)
    assert result.verdict is (Verdict.REJECTED if status is Status.FAIL else Verdict.APPROVED)


def test_no_added_lines_are_no_density() -> None:
    condition = Condition(
        kind=ConditionKind.NEW_FINDINGS_PER_100_LINES, maximum=0, severity=FindingSeverity.LOW, metrics=()
    )
    result = judge(policy=Policy(conditions=(condition,), small_change_lines=0), added_lines=0)
    assert (result.answers[0].status, result.answers[0].value) == (Status.PASSED, 0.0)


@pytest.mark.parametrize(
    ("name", "kind", "worse"),
    [
        ("duplicated_share", ConditionKind.DUPLICATED_SHARE_INCREASE, 1),
        ("documented_share", ConditionKind.DOCUMENTED_SHARE_DECREASE, -1),
        ("quality_score", ConditionKind.QUALITY_SCORE_DECREASE, -1),
    ],
)
def test_numbers_of_the_tree_may_become_worse_by_a_point(name: str, kind: ConditionKind, worse: int) -> None:
    for change, status in ((1.0, Status.PASSED), (1.01, Status.FAIL), (-30.0, Status.PASSED), (0.0, Status.PASSED)):
        values = {each: getattr(SAME, each) for each in SAME.__slots__}
        found = answer(judge(after=Totals(**{**values, name: values[name] + worse * change})), kind)
        assert (found.status, found.value, found.baseline) == (status, max(0.0, change), values[name]), change
    unknown = answer(judge(before=Totals()), kind)
    assert (unknown.status, unknown.value) == (Status.NOT_EVALUATED, None)
    assert "not known for the earlier run" in unknown.reason


def test_findings_that_weigh_most_are_named_first() -> None:
    many = [finding(line=line) for line in range(20)]
    worst = [finding(severity="high", line=99), finding(metric="security", line=98)]
    found = answer(judge(*many, *worst), ConditionKind.NEW_FINDINGS)
    assert (found.value, len(found.findings)) == (22, SHOWN_FINDINGS)
    assert [item["line"] for item in found.findings[:4]] == [99, 98, 0, 1]


def test_policy_may_look_at_tests() -> None:
    policy = Policy(conditions=DEFAULT_POLICY.conditions, roles=(Role.TEST,))
    assert judge(finding(path="tests/test_a.py"), policy=policy).verdict is Verdict.REJECTED
    assert judge(finding(), policy=policy).verdict is Verdict.APPROVED


def test_answer_has_a_json_form() -> None:
    form = answer(judge(finding()), ConditionKind.NEW_FINDINGS).to_json()
    assert form == {
        "kind": "new_findings",
        "max": 0,
        "severity": "medium",
        "metrics": [],
        "status": "fail",
        "value": 1,
        "baseline": None,
        "reason": "1 finding of medium severity or above is new or has become worse; at most 0 may be",
        "findings": [finding()],
    }
