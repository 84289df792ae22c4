"""Runs: finished analyses as they are stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from domain.findings.baseline import Project
from domain.gate.review import Review
from domain.metrics.report import Analysis
from domain.tags import Tags
from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrigin:
    """The source of a run's code, as columns of `analysis_runs`."""

    submission_type: str
    upload_filename: str | None = None
    project_name: str | None = None
    author_type: str | None = None
    author_model: str | None = None
    git_repo_url: str | None = None
    git_branch: str | None = None
    git_commit_sha: str | None = None

    @property
    def project(self) -> Project | None:
        """What its project's runs have in common; None if nothing is known of it."""
        return Project.of(url=self.git_repo_url, name=self.project_name, filename=self.upload_filename)

    @classmethod
    def from_source(
        cls, source_kind: str, metadata: Mapping[str, JSON], *, branch: str | None, sha: str | None
    ) -> Self:
        """Return the origin of a job's source with the branch and commit that were fetched.

        An upload has neither, even if it contained a git history.
        """
        return cls(
            submission_type=source_kind,
            upload_filename=metadata.get("upload_filename"),
            project_name=metadata.get("project_name"),
            author_type=metadata.get("author_type"),
            author_model=metadata.get("author_model"),
            git_repo_url=metadata.get("git_repo_url"),
            git_branch=branch if source_kind == "github" else None,
            git_commit_sha=sha if source_kind == "github" else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run without its large documents, for lists. `created_at` is in UTC; `duration_ms` covers the whole attempt.

    `baseline_run_id` is the earlier run that it was compared with. A `pinned` run is its project's baseline.
    `quality_score` and `review_verdict` are None for runs from before reviews existed. `tags` are as `domain.tags`
    normalises them.
    """

    run_id: UUID
    user_id: UUID
    job_id: str | None
    created_at: datetime
    origin: RunOrigin
    metrics: Mapping[str, JSON]
    errors: tuple[str, ...]
    completeness: Mapping[str, JSON]
    tool_versions: Mapping[str, str]
    duration_ms: int
    baseline_run_id: UUID | None = None
    pinned: bool = False
    quality_score: float | None = None
    review_verdict: str | None = None
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunSummary):
    """A whole run.

    `file_tree`, `history` and `review` are None for runs from before they existed, `comparison` without a baseline.
    `review` is as `domain.gate.review.Review.to_json` makes it, and `insights` as `Insight.to_json`. `options` are
    those of its job.
    """

    file_tree: Mapping[str, JSON] | None
    findings: Mapping[str, JSON]
    timings_ms: Mapping[str, int]
    history: Mapping[str, JSON] | None
    comparison: Mapping[str, JSON] | None = None
    review: Mapping[str, JSON] | None = None
    insights: Sequence[Mapping[str, JSON]] = ()
    options: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to insert when its job completes. `on_default_branch` is None for a source without branches."""

    run_id: UUID
    user_id: UUID
    job_id: str
    origin: RunOrigin
    analysis: Analysis
    duration_ms: int
    baseline_run_id: UUID | None = None
    comparison: Mapping[str, JSON] | None = None
    on_default_branch: bool | None = None
    review: Review | None = None
    options: Mapping[str, JSON] = field(default_factory=dict)
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCursor:
    """The position in a list of runs, newest first, after which the next page starts."""

    created_at: datetime
    run_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSummary:
    """A project and its newest run. `scores` are quality scores, the oldest first; None where a run has none."""

    project_key: str
    run_id: UUID
    created_at: datetime
    name: str
    branch: str | None
    quality_score: float | None
    review_verdict: str | None
    tool_versions: Mapping[str, str]
    scores: Sequence[float | None]
