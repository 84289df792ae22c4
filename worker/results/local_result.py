"""The result of an analysis without a job: of the same shape as a job's, reviewed in the same way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.gate.policy import DEFAULT_POLICY, Policy
from domain.gate.review import ReviewedRun, review
from domain.metrics.report import Analysis
from domain.text import JSON
from worker.results.calibration import load_calibration, standing_to_json

SUBMITTED = "submitted"
"""How a baseline was chosen that the submission or the command named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBaseline:
    """An earlier result to compare with: its run id where it was a job's, and its documents."""

    run: MeasuredRun
    run_id: str | None = None


def local_result(
    source: Mapping[str, JSON],
    analysis: Analysis,
    *,
    since: str = "",
    baseline: LocalBaseline | None = None,
    policy: Policy | None = None,
    added_lines: Mapping[str, int] | None = None,
) -> dict[str, JSON]:
    """Return the document of an analysis. `source` says what was analysed, and `since` is the time (ISO 8601).

    `added_lines` are those since the baseline's commit, by role; None where they are not known.
    """
    run = MeasuredRun(
        metrics=analysis.metrics,
        findings=analysis.findings,
        file_tree=analysis.file_tree,
        completeness=analysis.completeness,
        tool_versions=analysis.tool_versions,
        since=since,
    )
    comparison: dict[str, JSON] | None = None
    if baseline is not None:
        compared = compare_runs(baseline.run, run)
        comparison = {"baseline_run_id": baseline.run_id, "chosen_as": SUBMITTED, **compared.document}
        run = replace(run, findings={**run.findings, "items": list(compared.items)})
    reviewed = review(
        ReviewedRun(
            run=run,
            baseline=None if baseline is None else baseline.run,
            comparison=comparison,
            history=analysis.history,
            added_lines=added_lines,
            policy=policy or DEFAULT_POLICY,
        ),
        load_calibration(),
    )
    quality = reviewed.quality_score
    return {
        "job": None,
        "source": source,
        **analysis.document(),
        "findings": run.findings,
        "comparison": comparison,
        "quality_score": quality,
        "review": reviewed.to_json(),
        "insights": [insight.to_json() for insight in reviewed.insights],
        "standing": standing_to_json(run.metrics, run.file_tree, run.tool_versions, quality),
        "options": {} if policy is None else {"gate": policy.to_json()},
    }
