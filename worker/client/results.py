"""What the client returns: the three outcomes of reading or taking a result, and a page of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.jobs import Job
from domain.runs import Run, RunCursor, RunSummary
from domain.statistics.trends import Series, Trend
from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The job is pending or running; nothing was deleted."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The job completed; taking its result deletes its row. The run stays until its owner deletes it."""

    job: Job
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """The job failed; taking its result deletes its row. `error` is one line for the job's owner."""

    job: Job
    error: str


JobResult = Unfinished | Completed | JobFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """A run compared with an earlier one.

    `document` is as `comparison` in a result, and `findings` are those of the run, with `state` and `first_seen_at`.
    Both have the `role` of the file in each finding.
    """

    run_id: UUID
    baseline_run_id: UUID
    document: Mapping[str, JSON]
    findings: Sequence[Mapping[str, JSON]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Runs, newest first. `next` is the cursor of the following page, None on the last one."""

    runs: Sequence[RunSummary]
    next: RunCursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingPage:
    """Findings of a run that match a filter, in the run's order.

    Each has its `ordinal` in the run's list (from 1) and the `role` of its file beside what the run says of it. `next`
    is what to pass as `after` for the following page, None on the last one. `matching` counts all findings of the
    wanted roles that match, and `other_roles` those in files of other roles. `unlisted` is the number of findings that
    the run has beyond the limit of its list.
    """

    run_id: UUID
    findings: Sequence[Mapping[str, JSON]]
    next: int | None
    matching: int
    other_roles: Mapping[str, int]
    unlisted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTrend:
    """The trends of a project's numbers over its comparable runs of one branch, `series`, the oldest first.

    `branch` is None for uploads. Numbers are those of source files, for metrics that tell roles apart.
    """

    project: str
    branch: str | None
    series: Series
    trends: Sequence[Trend]
