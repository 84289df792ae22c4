"""Insights: when each rule speaks, what it says, and how sure it is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.insights.insight import Insight, InsightType, RunFacts, confidence
from domain.insights.rules import insights

METRICS = ("churn", "cyclomatic", "dead_code", "dupes", "lint", "security")
COMPLETE = {
    "files": 10,
    "analyzed": 10,
    "skipped_total": 0,
    "collectors": dict.fromkeys(METRICS, "ok"),
}
ROLES = {"pkg/a.py": "source", "pkg/b.py": "source", "other/c.py": "source", "tests/test_a.py": "test"}
SAME: Mapping[str, Any] = {"counts": {}, "baseline_counts": {}, "fixed": {"total": 0, "items": []}, "tool_versions": {}}
NOBODY = {"people": 0, "names": [], "covered": 1.0}


def finding(metric: str = "security", path: str = "pkg/a.py", severity: str = "medium", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "path": path, "severity": severity, "line": 1, "message": "text", **more}


def facts(*findings: Mapping[str, Any], **more: Any) -> RunFacts:
    return RunFacts(**{"findings": findings, "roles": ROLES, "completeness": COMPLETE, **more})


def found(run: RunFacts) -> dict[InsightType, Insight]:
    return {insight.type: insight for insight in insights(run)}


def compared(new: int = 0, fixed: int = 0, **more: Any) -> dict[str, Any]:
    items = [finding(line=number, state="fixed") for number in range(fixed)]
    return {
        **SAME,
        "counts": {"security": {"medium": {"new": {"source": new, "test": 9}}, "low": {"new": {"source": 99}}}},
        "baseline_counts": {"security": {"high": {"fixed": {"source": fixed, "test": 9}}}},
        "fixed": {"total": fixed, "items": items},
        **more,
    }


def test_complete_run_without_problems_says_nothing() -> None:
    assert insights(facts(comparison=SAME)) == []


def test_more_new_than_fixed_serious_findings_are_a_regression() -> None:
    run = facts(finding(state="new"), finding(state="unchanged"), comparison=compared(new=3, fixed=1))
    insight = found(run)[InsightType.REGRESSION]
    assert insight.title == "3 serious findings more, 1 fewer"
    assert (insight.data["new"], insight.data["fixed"], len(insight.data["places"])) == (3, 1, 1)
    assert insight.confidence == 0.67
    assert InsightType.IMPROVEMENT not in found(run)


def test_more_fixed_than_new_serious_findings_are_an_improvement() -> None:
    insight = found(facts(comparison=compared(new=1, fixed=20)))[InsightType.IMPROVEMENT]
    assert insight.title == "20 serious findings fewer, 1 more"
    assert (len(insight.data["places"]), insight.confidence) == (10, 0.95)


def test_without_a_comparison_nothing_is_better_or_worse() -> None:
    assert insights(facts(finding(state="new"))) == []


def hotspot(path: str, score: float | None) -> dict[str, Any]:
    health = None if score is None else 100 - score
    return {"path": path, "commits": 30, "weighted_commits": 9.0, "percentile": 90.0, "health": health, "score": score}


def test_the_clearest_hotspots_are_named() -> None:
    files = [hotspot(f"pkg/{score}.py", score) for score in (60.0, 50.0, 40.0, 30.0)]
    named = [
        insight
        for insight in insights(facts(history={"hotspots": {"files": [*files, hotspot("x.py", None)]}}))
        if insight.type is InsightType.HOTSPOT
    ]
    assert [insight.data["places"] for insight in named] == [
        [{"path": f"pkg/{score}.py"}] for score in (60.0, 50.0, 40.0)
    ]
    assert named[0].description == (
        "It is changed more often than 90 % of the source files, and its health is 40 of 100."
    )
    assert insights(facts(history={"hotspots": {"files": [hotspot("a.py", 24.0)]}})) == []
    assert insights(facts(history={"hotspots": {"reason": "insufficient history", "files": None}})) == []


def pair(kind: str) -> dict[str, Any]:
    return {"left": "pkg/a.py", "right": "pkg/b.py", "shared": 15, "degree": 90.0, "confidence": 1.0, "kind": kind}


def test_only_hidden_coupling_is_said() -> None:
    insight = found(facts(history={"coupling": {"pairs": [pair("expected"), pair("hidden")]}}))
    assert insight[InsightType.HIDDEN_COUPLING].data["places"] == [{"path": "pkg/a.py"}, {"path": "pkg/b.py"}]
    assert insight[InsightType.HIDDEN_COUPLING].confidence == 0.56
    assert insights(facts(history={"coupling": {"pairs": [pair("expected")]}})) == []


@pytest.mark.parametrize(
    ("people", "factor", "active", "title"),
    [
        (9, 1, 1, "One person alone knows most of the code"),
        (9, 3, 0, "No active person knows most of the code"),
        (9, 2, 2, None),
        (1, 1, 1, None),
    ],
)
def test_knowledge_of_few_is_a_risk(people: int, factor: int, active: int, title: str | None) -> None:
    ownership = {
        "people": people,
        "truck_factor": {**NOBODY, "people": factor},
        "truck_factor_without_silent": {**NOBODY, "people": active},
    }
    insight = found(facts(history={"ownership": ownership})).get(InsightType.KNOWLEDGE_RISK)
    assert (insight and insight.title) == title


@pytest.mark.parametrize(
    ("metric", "kind"),
    [("security", InsightType.SECURITY_CLUSTER), ("dupes", InsightType.DUPLICATION_CLUSTER)],
)
def test_findings_that_gather_in_a_folder_are_a_cluster(metric: str, kind: InsightType) -> None:
    gathered = [finding(metric, path) for path in ("pkg/a.py", "pkg/b.py", "pkg/b.py")]
    beside = [finding(metric, "other/c.py"), finding(metric, "tests/test_a.py"), finding(metric, severity="low")]
    insight = found(facts(*gathered, *beside))[kind]
    assert (insight.data["count"], insight.data["total"]) == (3, 4)
    assert "pkg has 3 of the 4 of medium or high severity" in insight.description
    assert kind not in found(facts(*gathered[:2], *beside))


def test_functions_of_high_complexity_are_outliers() -> None:
    run = facts(finding("cyclomatic", severity="high"), finding("cyclomatic", "tests/test_a.py", "high"))
    assert found(run)[InsightType.COMPLEXITY_OUTLIER].title == "1 function with a complexity above 30"
    assert insights(facts(finding("cyclomatic", severity="medium"))) == []


def test_share_of_assistants_is_said_from_a_tenth_on() -> None:
    share = {"commits": 30, "of_commits": 60, "commit_share": 0.5}
    assert found(facts(history={"ai_share": share}))[InsightType.AI_SHARE].confidence == 0.86
    assert insights(facts(history={"ai_share": {**share, "commit_share": 0.09}})) == []
    assert insights(facts(history={"ai_share": {**share, "commit_share": None}})) == []


def test_other_versions_of_tools_are_said_with_what_they_changed() -> None:
    counts = {"lint": {"low": {"tool_changed": {"source": 4, "test": 1}}}}
    comparison = {**SAME, "counts": counts, "baseline_counts": counts, "tool_versions": {"ruff": ["1", "2"]}}
    insight = found(facts(comparison=comparison))[InsightType.TOOL_DRIFT]
    assert insight.description == "10 findings differ because of the tools and not of the code."


@pytest.mark.parametrize(
    ("changed", "description"),
    [
        ({"analyzed": 9}, "1 of 10 files could not be parsed."),
        ({"skipped_total": 1}, "1 file left out."),
        ({"collectors": {"lint": "failed", "mi": "ok"}}, "lint is failed."),
        ({"analyzed": 8, "collectors": {"churn": "partial"}}, "2 of 10 files could not be parsed; churn is partial."),
    ],
)
def test_what_was_not_measured_is_said(changed: Mapping[str, Any], description: str) -> None:
    assert found(facts(completeness={**COMPLETE, **changed}))[InsightType.INCOMPLETE].description == description


def test_confidence_falls_with_what_was_not_measured() -> None:
    outlier = finding("cyclomatic", severity="high")
    half = {**COMPLETE, "collectors": {**COMPLETE["collectors"], "cyclomatic": "partial"}}  # type: ignore[dict-item]
    whole, part = (
        found(facts(outlier, completeness=each))[InsightType.COMPLEXITY_OUTLIER] for each in (COMPLETE, half)
    )
    assert (whole.confidence, part.confidence) == (0.67, 0.33)
    assert facts(completeness={**COMPLETE, "collectors": {}}).completeness_of("lint") == 0.0
    assert facts(completeness={}).completeness_of() == 0.0


@given(values=st.tuples(*[st.floats(0, 1e9)] * 4), completeness=st.floats(0, 1))
def test_confidence_is_a_share(values: tuple[float, float, float, float], completeness: float) -> None:
    sample, sample_half, effect, effect_half = values
    found = confidence(completeness, sample=sample, sample_half=sample_half, effect=effect, effect_half=effect_half)
    assert 0.0 <= found <= 1.0


def test_every_insight_says_what_would_refute_it_and_is_json() -> None:
    run = facts(
        *[finding(metric, state="new", severity="high") for metric in ("security", "dupes", "cyclomatic")] * 3,
        completeness={**COMPLETE, "skipped_total": 2},
        comparison=compared(new=3, tool_versions={"ruff": ["1", "2"]}),
        history={
            "hotspots": {"files": [hotspot("pkg/a.py", 60.0)]},
            "coupling": {"pairs": [pair("hidden")]},
            "ownership": {"people": 3, "truck_factor": NOBODY, "truck_factor_without_silent": NOBODY},
            "ai_share": {"commits": 30, "of_commits": 60, "commit_share": 0.5},
        },
    )
    all_found = insights(run)
    assert {insight.type for insight in all_found} == set(InsightType) - {InsightType.IMPROVEMENT}
    assert [each.confidence for each in all_found] == sorted([each.confidence for each in all_found], reverse=True)
    for insight in all_found:
        form = json.loads(json.dumps(insight.to_json()))
        assert form["data"]["refuted_by"]
        assert 0.0 < form["confidence_score"] <= 1.0
        assert form["model_version"] == "rules-1"
