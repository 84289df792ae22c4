"""The JSON documents that the command prints: a job, and a whole result."""

from dataclasses import asdict
from datetime import datetime

from domain.jobs import Job
from domain.runs import Run
from domain.text import JSON
from domain.webhooks import Notice
from worker.client.results import JobFailed, Unfinished


def job_to_json(job: Job) -> dict[str, JSON]:
    """A job without its upload's data; times as ISO 8601 in UTC."""
    metadata = {key: value for key, value in job.source_metadata.items() if key != "file_data"}
    return {
        "job_id": job.job_id,
        "status": str(job.status),
        "source": metadata.get("git_repo_url") or metadata.get("upload_filename"),
        "source_kind": str(job.source_kind),
        "source_metadata": metadata,
        "result_run_id": None if job.result_run_id is None else str(job.result_run_id),
        "error_message": job.error_message,
        "attempt": job.attempt,
        "attempt_errors": [{**asdict(error), "at": _isoformat(error.at)} for error in job.attempt_errors],
        "stage": job.stage,
        "progress": job.progress,
        "created_at": _isoformat(job.created_at),
        "started_at": _isoformat(job.started_at),
        "finished_at": _isoformat(job.finished_at),
        "updated_at": _isoformat(job.updated_at),
        "run_after": _isoformat(job.run_after),
        "cancel_requested_at": _isoformat(job.cancel_requested_at),
        "notify_url": job.notify_url,
    }


def webhook_delivery_to_json(notice: Notice) -> dict[str, JSON]:
    """How telling of a job's end went; `state` is `waiting`, `delivered` or `given up`."""
    return {
        "notice_id": str(notice.notice_id),
        "state": notice.state,
        "status": notice.status,
        "attempt": notice.attempt,
        "due_at": _isoformat(notice.due_at),
        "delivered_at": _isoformat(notice.delivered_at),
        "given_up_at": _isoformat(notice.given_up_at),
        "last_error": notice.last_error,
    }


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def run_to_json(run: Run, job: Job | None) -> dict[str, JSON]:
    """What `vibe8 submit --wait --json` and `vibe8 result --json` print; the same shape as an analysis."""
    return {
        "job": None if job is None else job_to_json(job),
        "source": {"run_id": str(run.run_id), "created_at": _isoformat(run.created_at), **asdict(run.origin)},
        "metrics": run.metrics,
        "file_tree": run.file_tree,
        "findings": run.findings,
        "errors": list(run.errors),
        "completeness": run.completeness,
        "tool_versions": run.tool_versions,
        "timings_ms": run.timings_ms,
    }


def empty_result_to_json(result: Unfinished | JobFailed) -> dict[str, JSON]:
    """The shape of a result without one: nulls, and the job's error among the errors."""
    job = job_to_json(result.job)
    errors = [result.error] if isinstance(result, JobFailed) else []
    return {
        "job": job,
        "source": job["source_metadata"],
        "metrics": None,
        "file_tree": None,
        "findings": None,
        "errors": errors,
        "completeness": None,
        "tool_versions": None,
        "timings_ms": None,
    }
