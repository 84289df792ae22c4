"""A job's states, the moves between them, and the limits on submitting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.errors import IllegalTransitionError, LimitExceededError
from domain.sources import SourceKind
from domain.text import JSON

MAX_ATTEMPTS = 3
"""Failed attempts that end a job."""

LEASE_SECONDS = 30
"""How long a claim holds without a heartbeat, by the database's clock."""

HEARTBEAT_SECONDS = 10

JOB_VERSION = 1
"""The highest version of a job's row that this program knows how to work on, and the one that it writes.

Raise it with a kind of job that an older worker would fail: those workers then leave such jobs to newer ones.
"""


class JobStatus(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCount:
    """How many jobs are in a state, and the age of the oldest in seconds."""

    jobs: int
    oldest_seconds: float


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.FAILED}),
    # Back to pending: a hand-over at shutdown, a rescue, a retry.
    JobStatus.RUNNING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.PENDING}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PENDING}),  # only when its owner asks: `vibe8 retry`
}


def require_transition(before: JobStatus, after: JobStatus) -> None:
    """Raise IllegalTransitionError unless a job may go from `before` to `after`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(f"a {before} job cannot become {after}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """One failed attempt: its number (from 1), when it ended, what kind of fault, and one line."""

    attempt: int
    at: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of `jobs` as everyone but the database sees it; timestamps are aware and in UTC."""

    job_id: str
    user_id: UUID
    status: JobStatus
    source_kind: SourceKind
    source_metadata: Mapping[str, JSON]
    result_run_id: UUID | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    attempt: int
    run_after: datetime
    ring: int
    progress: int
    stage: str | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt_errors: tuple[AttemptError, ...]
    cancel_requested_at: datetime | None
    idempotency_key: str | None
    notify_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a job until the lease runs out. Every write of the attempt carries the token."""

    job: Job
    lease_token: UUID
    file_data: str | None = field(default=None, repr=False)
    """A small upload, in base64, so that it need not be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionLimits:
    """What one user may have; days are UTC."""

    max_unfinished: int = 5
    max_per_day: int = 100

    def check(self, *, unfinished: int, today: int, new: int = 1) -> None:
        """Raise LimitExceededError if so many more submissions would pass a limit."""
        if unfinished + new > self.max_unfinished:
            raise LimitExceededError(
                f"you already have {unfinished} unfinished jobs (limit {self.max_unfinished}){_more(new)}; "
                "wait for one to finish or cancel one"
            )
        if today + new > self.max_per_day:
            raise LimitExceededError(
                f"you have submitted {today} jobs today (limit {self.max_per_day}){_more(new)}; "
                "try again after 00:00 UTC"
            )


def _more(new: int) -> str:
    return f" and want {new} more" if new > 1 else ""
