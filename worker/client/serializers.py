"""The JSON documents that the command prints: a job, and a whole result."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from domain.jobs import Job
from domain.metrics.report import Analysis
from domain.runs import Run
from domain.text import JSON
from domain.webhooks import Notice

if TYPE_CHECKING:  # the client brings the database along, which a local analysis does without
    from worker.client.client import JobFailed, Unfinished


def job_document(job: Job) -> dict[str, JSON]:
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
        "attempt_errors": [{**asdict(error), "at": _time(error.at)} for error in job.attempt_errors],
        "stage": job.stage,
        "progress": job.progress,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "updated_at": _time(job.updated_at),
        "run_after": _time(job.run_after),
        "cancel_requested_at": _time(job.cancel_requested_at),
        "notify_url": job.notify_url,
    }


def notice_document(notice: Notice) -> dict[str, JSON]:
    """How telling of a job's end went; `state` is `waiting`, `delivered` or `given up`."""
    return {
        "notice_id": str(notice.notice_id),
        "state": notice.state,
        "status": notice.status,
        "attempt": notice.attempt,
        "due_at": _time(notice.due_at),
        "delivered_at": _time(notice.delivered_at),
        "given_up_at": _time(notice.given_up_at),
        "last_error": notice.last_error,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def analysis_document(analysis: Analysis, source: Mapping[str, JSON]) -> dict[str, JSON]:
    """What `vibe8 analyze --json` prints: `job` is null, `source` says what was analysed."""
    return {"job": None, "source": dict(source), **analysis.document()}


def run_document(run: Run, job: Job | None) -> dict[str, JSON]:
    """What `vibe8 submit --wait --json` and `vibe8 result --json` print; the same shape as an analysis."""
    return {
        "job": None if job is None else job_document(job),
        "source": {"run_id": str(run.run_id), "created_at": _time(run.created_at), **asdict(run.origin)},
        "metrics": run.metrics,
        "file_tree": run.file_tree,
        "findings": run.findings,
        "errors": list(run.errors),
        "completeness": run.completeness,
        "tool_versions": run.tool_versions,
        "timings_ms": run.timings_ms,
    }


def unfinished_document(taken: "Unfinished | JobFailed") -> dict[str, JSON]:
    """The shape of a result without one: nulls, and the job's error among the errors."""
    job = job_document(taken.job)
    error = getattr(taken, "error", None)
    return {
        "job": job,
        "source": job["source_metadata"],
        "metrics": None,
        "file_tree": None,
        "findings": None,
        "errors": [error] if error else [],
        "completeness": None,
        "tool_versions": None,
        "timings_ms": None,
    }
