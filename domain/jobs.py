"""A job: its states and the changes between them, and its retries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from uuid import UUID

from domain.sources import SourceKind
from domain.text import JSON

MAX_ATTEMPTS = 3
"""Failed attempts that end a job."""

LEASE_SECONDS = 30
"""How long a claim is valid without a heartbeat, by the database's clock."""

HEARTBEAT_SECONDS = 10

BACKOFF_BASE_SECONDS = 5.0
BACKOFF_MAX_SECONDS = 300.0

UPLOADS_VERSION = 2
"""The version of a job whose upload is in `job_uploads`."""

OPTIONS_VERSION = 3
"""The version of a job with a baseline or a gate policy."""

SELECTION_VERSION = 4
"""The version of a job with options that say what is measured, or with tags."""

JOB_VERSION = SELECTION_VERSION
"""The highest version of a job's row that this program can run.

Raise it when a new kind of job would fail on an older worker: older workers leave such jobs to newer ones.
"""


class JobStatus(StrEnum):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether the job has ended; only its owner can start it again."""
        return self in FINISHED_STATUSES


FINISHED_STATUSES = (JobStatus.COMPLETED, JobStatus.FAILED)
UNFINISHED_STATUSES = (JobStatus.PENDING, JobStatus.RUNNING)


class Transition(Enum):
    """Every change of a job's status. The repositories build their SQL from this table, and no other change exists."""

    CLAIM = (JobStatus.PENDING, JobStatus.RUNNING)
    COMPLETE = (JobStatus.RUNNING, JobStatus.COMPLETED)
    FAIL = (JobStatus.RUNNING, JobStatus.FAILED)
    """A permanent error, the last failed attempt, a cancellation, or a stale job without a lease."""
    REQUEUE = (JobStatus.RUNNING, JobStatus.PENDING)
    """A failed attempt that is retried, a shutdown of the worker, or a rescue after its lease expired."""
    DROP = (JobStatus.PENDING, JobStatus.FAILED)
    """A cancellation before the claim, or a job that was due for too long."""
    RETRY = (JobStatus.FAILED, JobStatus.PENDING)
    """The owner asks for it: `vibe8 retry`."""

    def __init__(self, before: JobStatus, after: JobStatus) -> None:
        self.before = before
        self.after = after


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCount:
    """The number of jobs in a state, and the age of the oldest in seconds."""

    jobs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """One failed attempt: its number (from 1), when it ended, the kind of error, and a message of one line."""

    attempt: int
    at: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of `jobs`, without the upload's data and the lease. Timestamps are aware and in UTC."""

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
    progress: int
    stage: str | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt_errors: tuple[AttemptError, ...]
    cancel_requested_at: datetime | None
    idempotency_key: str | None
    notify_url: str | None
    turn: int | None
    """The job's place in the queue, the lowest first; None until it is due and has been given one."""
    small: bool
    """Whether it is a small upload, which one child process analyses in about 0.1 s."""
    worker_id: str | None
    """The worker that runs the job, or ran its last attempt."""
    options: Mapping[str, JSON] = field(default_factory=dict)
    """As `JobOptions.to_json` makes them; a row of another program may hold anything."""
    refunded_at: datetime | None = None
    """When it was given back to its owner's month, as it failed through the fleet's fault."""

    @property
    def cursor(self) -> "JobCursor":
        """The position after this job in a list of its owner's jobs."""
        return JobCursor(created_at=self.created_at, job_id=self.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCursor:
    """The position in a list of jobs, newest first, after which the next page starts. Its job may be gone by then."""

    created_at: datetime
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a job until its lease expires. Every write of the attempt carries the lease token."""

    job: Job
    lease_token: UUID
    upload: bytes | None = field(default=None, repr=False)
    """A small upload, which saves a second query."""
    previous_worker: str | None = None
    """The worker that had claimed the job before, if any."""


def backoff_seconds(failed_attempts: int, jitter: float) -> float:
    """Return the delay before the next attempt: 5 s, 20 s, 80 s ... at most 5 min, times 0.5 to 1.

    `failed_attempts` counts from 1. `jitter` is a random number from 0 to 1, passed in so that the function stays
    pure. The jitter keeps jobs that failed together from returning in the same second.
    """
    full: float = min(BACKOFF_MAX_SECONDS, BACKOFF_BASE_SECONDS * 4.0 ** (failed_attempts - 1))
    return full * (0.5 + 0.5 * jitter)
