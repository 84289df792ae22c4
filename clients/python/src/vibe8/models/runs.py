"""Runs: what was measured of a source, and what became of it since an earlier run.

docs/result.md of the service describes the documents that are mappings here: metrics, file tree, history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vibe8.models.jobs import Job

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSource:
    """What was analysed. `run_id` and `created_at` are None in the result of a job without a run."""

    run_id: str | None = None
    created_at: datetime | None = None
    submission_type: str | None = None
    upload_filename: str | None = None
    project_name: str | None = None
    author_type: str | None = None
    author_model: str | None = None
    git_repo_url: str | None = None
    git_branch: str | None = None
    git_commit_sha: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that was left out before the analysis."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """How much was measured; `collectors` says for each metric `ok`, `partial`, `failed` or `not_requested`."""

    files: int
    analyzed: int
    skipped: Sequence[SkippedFile]
    skipped_total: int
    collectors: Mapping[str, str]
    not_selected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding of a tool. Lines and columns are counted from 1."""

    metric: str
    rule: str
    path: str
    line: int
    message: str
    function: str | None
    severity: str | None = None
    identity: str | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    line_hash: str | None = None
    location_hash: str | None = None
    fingerprint: str | None = None
    state: str | None = None
    first_seen_at: datetime | None = None
    severity_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The findings of a run. `total` counts also those that the list has no room for (`cut`)."""

    total: int
    items: Sequence[Finding]
    cut: Document
    metrics: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingPage:
    """A page of findings. `matching` counts all that match, `other_roles` those of files with other roles."""

    run_id: str
    findings: Sequence[Finding]
    next: int | None
    matching: int
    other_roles: Mapping[str, int]
    unlisted: int

    @property
    def items(self) -> Sequence[Finding]:
        """The findings of the page."""
        return self.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One condition of a gate and its answer: `pass`, `fail`, `waived` or `not_evaluated`."""

    kind: str
    max: float
    status: str
    value: float | None
    baseline: float | None
    reason: str
    findings: Sequence[Finding]
    severity: str | None = None
    metrics: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The answer of the gate. `verdict` is `APPROVED`, `REJECTED` or, without a baseline, `NOT_EVALUATED`."""

    verdict: str
    policy: Document
    criteria: Sequence[Criterion]
    strengths: Sequence[str]
    weaknesses: Sequence[str]

    @property
    def rejected(self) -> bool:
        """Whether a condition fails."""
        return self.verdict == "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """What stands out in a run. `confidence_score` is 0 to 1; `data` has its numbers and places."""

    type: str
    title: str
    description: str
    confidence_score: float
    data: Document
    tags: Sequence[str]
    model_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the numbers stand among well-known packages. `grade` is `A` to `E`; of the percentiles, 100 is the best."""

    percentiles: Mapping[str, float]
    grade: str | None
    reason: str | None
    packages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run of a list, without its large parts."""

    source: RunSource
    metrics: Document
    errors: Sequence[str]
    completeness: Completeness
    tool_versions: Document
    duration_ms: int
    quality_score: float | None
    review_verdict: str | None
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A whole result: of a run, or of a job.

    For a job without a run, because it has failed or not ended, what only an analysis knows is None, and `errors` has
    the reason. `job` is None where a run was asked for.
    """

    job: Job | None
    source: RunSource
    metrics: Document | None
    file_tree: Document | None = field(repr=False)
    findings: Findings | None = field(repr=False)
    errors: Sequence[str]
    completeness: Completeness | None
    tool_versions: Document | None
    timings_ms: Mapping[str, int] | None
    history: Document | None = field(repr=False)
    comparison: Document | None = field(repr=False)
    quality_score: float | None
    review: Review | None
    insights: Sequence[Insight] | None
    standing: Standing | None
    options: Document
    tags: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """A run compared with an earlier one. Each finding has its `state`; `fixed` has those that are gone."""

    run_id: str
    baseline_run_id: str
    findings: Sequence[Finding] = field(repr=False)
    fixed: "FixedFindings"
    metrics: Document
    files: Document
    counts: Document
    baseline_counts: Document
    tool_versions: Document
    chosen_as: str | None = None
    selections: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFindings:
    """Findings of the baseline that are gone; `total` counts also those that the list has no room for."""

    total: int
    items: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRun:
    """A run of a series."""

    run_id: str
    created_at: datetime
    commit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The trends of a project's numbers; `break_reason` says why earlier runs do not count."""

    project: str
    branch: str | None
    break_reason: str | None
    trends: Sequence[Document]
    runs: Sequence[TrendRun]
