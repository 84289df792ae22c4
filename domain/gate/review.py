"""The review of a run: its quality score, the gate's verdict, its insights, and its strengths and weaknesses."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from domain.findings.measured_run import MeasuredRun
from domain.findings.roles import Role
from domain.gate.evaluation import Change, GateResult, Totals, Verdict, evaluate
from domain.gate.policy import DEFAULT_POLICY, Policy
from domain.insights.insight import Insight, InsightType, RunFacts
from domain.insights.rules import insights
from domain.metrics.file_tree import quality_of
from domain.statistics.standing import Calibration, Standing, source_files, source_numbers, standing
from domain.text import JSON

STATED_LIMIT = 10
"""The most strengths, and the most weaknesses, that a review states."""

AMONG_THE_BEST, AMONG_THE_WORST = 80.0, 20.0
"""Percentiles from which on a number is a strength, or up to which it is a weakness: the best and the worst fifth."""

_WEAKNESSES = frozenset(InsightType) - {
    InsightType.IMPROVEMENT, InsightType.AI_SHARE, InsightType.TOOL_DRIFT, InsightType.INCOMPLETE,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What is said of a run beside its numbers. `quality_score` is 0..100, None where it is not known."""

    policy: Policy
    gate: GateResult
    quality_score: float | None
    insights: Sequence[Insight]
    strengths: Sequence[str]
    weaknesses: Sequence[str]

    def to_json(self) -> dict[str, JSON]:
        """Return the object `review` of a result."""
        return {
            "verdict": str(self.gate.verdict),
            "policy": self.policy.to_json(),
            "criteria": [answer.to_json() for answer in self.gate.answers],
            "strengths": list(self.strengths),
            "weaknesses": list(self.weaknesses),
        }

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict."""
        return self.gate.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedRun:
    """What a review looks at. `run` has the findings with their states where there is a `comparison`.

    `added_lines` maps each role to the lines that were added since the baseline; None where they are not known.
    """

    run: MeasuredRun
    baseline: MeasuredRun | None = None
    comparison: Mapping[str, JSON] | None = None
    history: Mapping[str, JSON] | None = None
    added_lines: Mapping[str, int] | None = None
    policy: Policy = field(default=DEFAULT_POLICY)


def review(reviewed: ReviewedRun, calibration: Calibration) -> Review:
    """Judge a run by a policy, and say what stands out in it."""
    run = reviewed.run
    quality = quality_of(run.nodes.values())
    found = insights(
        RunFacts(
            findings=run.items,
            roles=run.roles,
            completeness=run.completeness,
            comparison=reviewed.comparison,
            history=reviewed.history,
        )
    )
    files = source_files(run.nodes.values())
    ranks = standing(source_numbers(run.metrics, files, quality), run.tool_versions, calibration)
    return Review(
        policy=reviewed.policy,
        gate=evaluate(reviewed.policy, _change(reviewed)),
        quality_score=quality,
        insights=found,
        strengths=_stated(found, {InsightType.IMPROVEMENT}, ranks, calibration, best=True),
        weaknesses=_stated(found, _WEAKNESSES, ranks, calibration, best=False),
    )


def totals(run: MeasuredRun, roles: Collection[str]) -> Totals:
    """Return the numbers of the files with these roles. Shares are known for one role, and for all roles together."""
    return Totals(
        duplicated_share=_share(run.metrics, "dupes", "duplicate_pct", roles),
        documented_share=_share(run.metrics, "docs", "coverage_pct", roles),
        quality_score=quality_of(run.nodes.values(), roles),
    )


def _share(metrics: Mapping[str, JSON], metric: str, key: str, roles: Collection[str]) -> float | None:
    of_metric = metrics.get(metric) or {}
    if set(roles) == set(Role):
        value: float | None = of_metric.get(key)
        return value
    found = [((of_metric.get("by_role") or {}).get(role) or {}).get(key) for role in roles]
    return found[0] if len(found) == 1 else None


def _change(reviewed: ReviewedRun) -> Change | None:
    if reviewed.baseline is None:
        return None
    run, baseline = reviewed.run, reviewed.baseline
    roles = [str(role) for role in reviewed.policy.roles]
    added = reviewed.added_lines
    return Change(
        findings=run.items,
        roles=run.roles,
        before=totals(baseline, roles),
        after=totals(run, roles),
        added_lines=None if added is None else sum(added.get(role, 0) for role in roles),
        unmeasured=tuple(name for name in run.traits if not (run.measures(name) and baseline.measures(name))),
        same_files=run.selection.has_same_files(baseline.selection),
    )


def _stated(
    found: Sequence[Insight],
    types: Collection[InsightType],
    ranks: Standing,
    calibration: Calibration,
    *,
    best: bool,
) -> list[str]:
    lines = [insight.title for insight in found if insight.type in types]
    ordered = sorted(ranks.percentiles.items(), key=lambda entry: -entry[1] if best else entry[1])
    for name, percentile in ordered:
        if percentile >= AMONG_THE_BEST if best else percentile <= AMONG_THE_WORST:
            noun = name.replace("_", " ")
            lines.append(f"{noun}: better than {percentile:.0f} % of {len(calibration.packages)} well-known packages")
    return lines[:STATED_LIMIT]
