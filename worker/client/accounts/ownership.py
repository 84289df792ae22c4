"""Checks that a job or a run belongs to the user who asks for it. Each raises ForbiddenError if it does not."""

from uuid import UUID

from domain.errors import ForbiddenError
from domain.jobs import Job
from domain.runs import RunSummary


def owned_run(run: RunSummary, user_id: UUID) -> RunSummary:
    """Return the run."""
    _require_owner(run.user_id, user_id, f"run {run.run_id}")
    return run


def owned_job(job: Job, user_id: UUID) -> Job:
    """Return the job."""
    _require_owner(job.user_id, user_id, f"job {job.job_id}")
    return job


def _require_owner(owner: UUID, user_id: UUID, what: str) -> None:
    if owner != user_id:
        raise ForbiddenError(f"the {what} belongs to another user")
