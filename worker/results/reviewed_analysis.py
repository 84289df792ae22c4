"""The review of an analysis, of a job's run or of `vibe8 analyze`: its comparison with an earlier run, and the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.gate.policy import DEFAULT_POLICY, Policy
from domain.gate.review import Review, ReviewedRun, review
from domain.metrics.report import Analysis
from domain.text import JSON
from worker.results.calibration import load_calibration, standing_to_json

SUBMITTED = "submitted"
"""How a baseline was chosen that the submission or the command named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """An earlier run to compare with, its id where it was a job's, and why it was chosen."""

    run: MeasuredRun
    run_id: str | None = None
    chosen_as: str = SUBMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedAnalysis:
    """An analysis with its review; where there is a comparison, its findings have states."""

    analysis: Analysis
    review: Review
    comparison: Mapping[str, JSON] | None


def measured(analysis: Analysis, since: str, options: Mapping[str, JSON] | None = None) -> MeasuredRun:
    """Return what a comparison needs of an analysis that was stored at that time (ISO 8601) with these options."""
    return MeasuredRun(
        metrics=analysis.metrics,
        findings=analysis.findings,
        file_tree=analysis.file_tree,
        completeness=analysis.completeness,
        tool_versions=analysis.tool_versions,
        since=since,
        options=options,
    )


def review_analysis(
    analysis: Analysis,
    run: MeasuredRun,
    *,
    baseline: Baseline | None = None,
    policy: Policy | None = None,
    added_lines: Mapping[str, int] | None = None,
) -> ReviewedAnalysis:
    """Compare an analysis with its baseline, and judge it by the policy. `run` is what `measured` makes of it.

    `added_lines` are those since the baseline's commit, by role; None where they are not known.
    """
    comparison: dict[str, JSON] | None = None
    if baseline is not None:
        compared = compare_runs(baseline.run, run)
        comparison = {"baseline_run_id": baseline.run_id, "chosen_as": baseline.chosen_as, **compared.document}
        analysis = replace(analysis, findings={**analysis.findings, "items": list(compared.items)})
        run = replace(run, findings=analysis.findings)
    reviewed = ReviewedRun(
        run=run,
        baseline=None if baseline is None else baseline.run,
        comparison=comparison,
        history=analysis.history,
        added_lines=added_lines,
        policy=policy or DEFAULT_POLICY,
    )
    return ReviewedAnalysis(analysis=analysis, review=review(reviewed, load_calibration()), comparison=comparison)


def local_result(
    source: Mapping[str, JSON], reviewed: ReviewedAnalysis, options: Mapping[str, JSON] | None = None
) -> dict[str, JSON]:
    """Return the result of an analysis without a job, of the same shape as a job's. `source` says what was analysed."""
    analysis, quality = reviewed.analysis, reviewed.review.quality_score
    return {
        "job": None,
        "source": source,
        **analysis.document(),
        "comparison": reviewed.comparison,
        "quality_score": quality,
        "review": reviewed.review.to_json(),
        "insights": [insight.to_json() for insight in reviewed.review.insights],
        "standing": standing_to_json(analysis.metrics, analysis.file_tree, analysis.tool_versions, quality),
        "options": dict(options or {}),
        "tags": {},
    }
