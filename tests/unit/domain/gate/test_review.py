"""The review of a run: quality score, verdict, strengths and weaknesses, from its documents."""

from typing import Any

import pytest

from domain.findings.measured_run import MeasuredRun
from domain.findings.roles import Role
from domain.gate.evaluation import Status, Verdict
from domain.gate.policy import DEFAULT_POLICY, Condition, ConditionKind, Policy
from domain.gate.review import Review, ReviewedRun, review, totals
from domain.statistics.standing import Calibration

STATES = {"dupes": "ok", "docs": "ok", "lint": "ok"}
PACKAGES = Calibration(
    packages={"a": "1", "b": "1"},
    tool_versions={"ruff": "1"},
    values={"quality_score": [50.0, 60.0], "documented_share": [10.0, 90.0]},
)


def node(path: str, health: float | None, sloc: int, role: str = "source") -> dict[str, Any]:
    metrics = {"health_score": 1.0, "health_without_churn": health, "size": {"sloc": sloc}, "complexity": {"value": 3}}
    return {"type": "file", "path": path, "name": path, "role": role, "digest": "d", "metrics": metrics}


def measured(*, documented: float = 50.0, states: dict[str, str] = STATES, items: Any = ()) -> MeasuredRun:
    metrics = {
        "dupes": {"duplicate_pct": 9.0, "by_role": {"source": {"duplicate_pct": 2.0}, "test": {"duplicate_pct": 20.0}}},
        "docs": {"coverage_pct": 30.0, "by_role": {"source": {"coverage_pct": documented}}},
        "size": {"by_role": {"source": {"sloc": 100}}},
    }
    tree = {
        "type": "directory",
        "children": [node("a.py", 90.0, 100), node("b.py", 60.0, 50), node("test_a.py", 10.0, 500, "test")],
    }
    completeness = {"files": 3, "analyzed": 3, "collectors": states, "skipped_total": 0}
    findings = {"total": len(items), "items": list(items)}
    return MeasuredRun(
        metrics=metrics, findings=findings, file_tree=tree, completeness=completeness, tool_versions={"ruff": "1"}
    )


def reviewed(**fields: Any) -> Review:
    return review(ReviewedRun(**{"run": measured(), **fields}), PACKAGES)


def test_quality_score_is_the_mean_health_of_source_files_by_their_lines() -> None:
    assert reviewed().quality_score == pytest.approx((90 * 100 + 60 * 50) / 150)


def test_shares_are_known_for_one_role_and_for_all_together() -> None:
    run = measured()
    assert totals(run, ["source"]).duplicated_share == 2.0
    assert totals(run, ["test"]).duplicated_share == 20.0
    assert totals(run, list(Role)).duplicated_share == 9.0
    several = totals(run, ["source", "test"])
    assert (several.duplicated_share, several.documented_share) == (None, None)
    assert several.quality_score == round((90 * 100 + 60 * 50 + 10 * 500) / 650, 2)
    assert totals(run, ["docs"]).documented_share is None


def test_without_a_baseline_nothing_is_evaluated() -> None:
    assert reviewed().verdict is Verdict.NOT_EVALUATED


def test_documented_share_that_fell_rejects() -> None:
    found = reviewed(run=measured(documented=50.0), baseline=measured(documented=52.0))
    assert found.verdict is Verdict.REJECTED
    (failed,) = [answer for answer in found.gate.answers if answer.status is Status.FAIL]
    assert failed.reason == "the documented share fell from 52.0 to 50.0; it may fall by at most 1"
    assert reviewed(baseline=measured()).verdict is Verdict.APPROVED


def test_only_lines_added_to_files_of_the_policys_roles_count() -> None:
    condition = Condition(kind=ConditionKind.NEW_FINDINGS_PER_100_LINES, maximum=0)
    both = Policy(conditions=(condition,), roles=(Role.SOURCE, Role.TEST))
    added = {"source": 15, "test": 10}
    statuses = {
        policy: reviewed(baseline=measured(), added_lines=added, policy=policy).gate.answers[-1].status
        for policy in (both, Policy(conditions=(condition,)))
    }
    assert list(statuses.values()) == [Status.PASSED, Status.WAIVED]  # 15 lines are fewer than 20


def test_numbers_of_the_best_and_the_worst_fifth_are_stated() -> None:
    found = reviewed(run=measured(documented=5.0))
    assert found.strengths == ["quality score: better than 100 % of 2 well-known packages"]
    assert "documented share: better than 0 % of 2 well-known packages" in found.weaknesses
    other = review(ReviewedRun(run=measured()), Calibration(packages={}, tool_versions={"ruff": "2"}, values={}))
    assert (other.strengths, other.weaknesses) == ([], [])


def test_review_keeps_the_policy_beside_the_verdict() -> None:
    document = reviewed().to_json()
    assert document["policy"] == DEFAULT_POLICY.to_json()
    assert [each["status"] for each in document["criteria"]] == ["not_evaluated"] * len(DEFAULT_POLICY.conditions)
