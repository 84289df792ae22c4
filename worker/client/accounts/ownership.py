"""Checks that something belongs to the user who asks for it. Each raises ForbiddenError if it does not."""

from dataclasses import replace
from uuid import UUID

from domain.errors import ForbiddenError
from domain.evaluations.evaluation import EvaluationSummary
from domain.jobs import Job
from domain.keys import ApiKey
from domain.reports import SharedReport
from domain.runs import RunSummary
from domain.tracking.repository import TrackedRepository


def owned_run(run: RunSummary, user_id: UUID) -> RunSummary:
    """Return the run."""
    _require_owner(run.user_id, user_id, f"run {run.run_id}")
    return run


def owned_evaluation(evaluation: EvaluationSummary, user_id: UUID) -> EvaluationSummary:
    """Return the evaluation."""
    _require_owner(evaluation.user_id, user_id, f"evaluation {evaluation.evaluation_id}")
    return evaluation


def owned_job(job: Job, user_id: UUID) -> Job:
    """Return the job."""
    _require_owner(job.user_id, user_id, f"job {job.job_id}")
    return job


def owned_key(key: ApiKey, user_id: UUID) -> ApiKey:
    """Return the key."""
    _require_owner(key.user_id, user_id, f"API key {key.key_id}")
    return key


def owned_repository(repository: TrackedRepository, user_id: UUID) -> TrackedRepository:
    """Return the tracked repository."""
    _require_owner(repository.owner_id, user_id, f"tracked repository {repository.repository_id}")
    return repository


def visible_repository(repository: TrackedRepository, user_id: UUID) -> TrackedRepository:
    """Return the tracked repository as the user may see it: of another's public one, no settings and no error."""
    if repository.owner_id != user_id and repository.is_public:
        return replace(repository, settings={"public": True}, last_error=None)
    return owned_repository(repository, user_id)


def owned_report(report: SharedReport, user_id: UUID) -> SharedReport:
    """Return the report."""
    _require_owner(report.owner_id, user_id, "report")
    return report


def _require_owner(owner: UUID, user_id: UUID, what: str) -> None:
    if owner != user_id:
        raise ForbiddenError(f"the {what} belongs to another user")
