"""Jobs: their state, progress and webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

FINISHED = frozenset({"completed", "failed"})
"""States in which a job stays unless it is retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """Why one attempt failed."""

    attempt: int
    at: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A webhook about a job. `state` is `waiting`, `delivered` or `given up`; `status` is how the job ended."""

    notice_id: str
    state: str
    status: str
    attempt: int
    due_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. `status` is `pending`, `running`, `completed` or `failed`; `progress` is 0 to 100.

    `owner` and `notices` are there for operators only.
    """

    job_id: str
    status: str
    source: str | None
    source_kind: str
    source_metadata: Mapping[str, Any]
    result_run_id: str | None
    error_message: str | None
    attempt: int
    attempt_errors: Sequence[AttemptError]
    stage: str | None
    progress: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    run_after: datetime
    cancel_requested_at: datetime | None
    refunded_at: datetime | None
    worker_id: str | None
    notify_url: str | None
    options: Mapping[str, Any]
    owner: str | None = None
    notices: Sequence[WebhookDelivery] = ()

    @property
    def finished(self) -> bool:
        """Whether the job has ended: completed or failed."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is. `result_run_id` is the run of a completed job, `error_message` the reason of a failed one."""

    job_id: str
    status: str
    stage: str | None
    progress: int
    attempt: int
    result_run_id: str | None
    error_message: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the progress of a job that was read."""
        return cls(
            job_id=job.job_id,
            status=job.status,
            stage=job.stage,
            progress=job.progress,
            attempt=job.attempt,
            result_run_id=job.result_run_id,
            error_message=job.error_message,
        )

    @property
    def finished(self) -> bool:
        """Whether the job has ended: completed or failed."""
        return self.status in FINISHED
