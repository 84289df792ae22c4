"""JSON documents of a job, a result and a webhook delivery, as the command prints them."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from domain.jobs import Job
from domain.runs import Run, RunSummary
from domain.statistics.trends import LEFT_OUT, Series, TrendRun
from domain.text import JSON
from domain.webhooks import WebhookDelivery
from infrastructure.database.queries.trends import QUALITY
from worker.client.results import FindingPage, JobFailed, ProjectTrend, RunComparison, Unfinished
from worker.results.calibration import standing_to_json


def job_to_json(job: Job) -> dict[str, JSON]:
    """Return the job without its upload's data. Times are ISO 8601 in UTC."""
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
        "refunded_at": _isoformat(job.refunded_at),
        "worker_id": job.worker_id,
        "notify_url": job.notify_url,
        "options": job.options,
    }


def webhook_delivery_to_json(delivery: WebhookDelivery) -> dict[str, JSON]:
    """Return a webhook delivery; `state` is `waiting`, `delivered` or `given up`."""
    return {
        "notice_id": str(delivery.delivery_id),
        "state": delivery.state,
        "status": delivery.status,
        "attempt": delivery.attempt,
        "due_at": _isoformat(delivery.due_at),
        "delivered_at": _isoformat(delivery.delivered_at),
        "given_up_at": _isoformat(delivery.given_up_at),
        "last_error": delivery.last_error,
    }


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def run_summary_to_json(run: RunSummary) -> dict[str, JSON]:
    """Return a run of a list: as `run_to_json`, without its large documents and with `duration_ms`."""
    return {
        "source": _run_source(run),
        "metrics": run.metrics,
        "errors": list(run.errors),
        "completeness": run.completeness,
        "tool_versions": run.tool_versions,
        "duration_ms": run.duration_ms,
        "quality_score": run.quality_score,
        "review_verdict": run.review_verdict,
        "tags": dict(run.tags),
    }


def _run_source(run: RunSummary) -> dict[str, JSON]:
    return {"run_id": str(run.run_id), "created_at": _isoformat(run.created_at), **asdict(run.origin)}


def run_to_json(run: Run, job: Job | None) -> dict[str, JSON]:
    """Return a whole result. `vibe8 analyze --json` prints the same shape, with a null `job`."""
    return {
        "job": None if job is None else job_to_json(job),
        "source": _run_source(run),
        "metrics": run.metrics,
        "file_tree": run.file_tree,
        "findings": run.findings,
        "errors": list(run.errors),
        "completeness": run.completeness,
        "tool_versions": run.tool_versions,
        "timings_ms": run.timings_ms,
        "history": run.history,
        "comparison": _comparison(run.comparison, run.baseline_run_id),
        "quality_score": run.quality_score,
        "review": run.review,
        "insights": list(run.insights),
        "standing": standing_to_json(run.metrics, run.file_tree, run.tool_versions, run.quality_score),
        "options": run.options,
        "tags": dict(run.tags),
    }


def _comparison(stored: Mapping[str, JSON] | None, baseline_run_id: UUID | None) -> dict[str, JSON] | None:
    """Return the stored comparison; the id of its baseline is null once that run was deleted."""
    if stored is None:
        return None
    return {**stored, "baseline_run_id": None if baseline_run_id is None else str(baseline_run_id)}


def comparison_to_json(comparison: RunComparison) -> dict[str, JSON]:
    """Return a comparison of two runs, with the findings of the later one."""
    return {
        "run_id": str(comparison.run_id),
        "baseline_run_id": str(comparison.baseline_run_id),
        **comparison.document,
        "findings": list(comparison.findings),
    }


def finding_page_to_json(page: FindingPage) -> dict[str, JSON]:
    """Return a page of findings."""
    return {
        "run_id": str(page.run_id),
        "findings": [dict(item) for item in page.findings],
        "next": page.next,
        "matching": page.matching,
        "other_roles": dict(page.other_roles),
        "unlisted": page.unlisted,
    }


def trend_to_json(found: ProjectTrend) -> dict[str, JSON]:
    """Return the trends of a project, and the runs that they are of."""
    return {
        "project": found.project,
        "branch": found.branch,
        "runs": [
            {"run_id": str(run.run_id), "created_at": _isoformat(run.created_at), "commit": run.commit}
            for run in found.series.runs
        ],
        "break_reason": found.series.break_reason,
        "trends": [trend.to_json() for trend in found.trends],
    }


def run_trend_to_json(series: Series | None) -> dict[str, JSON]:
    """Return what a report shows of a run's series: a point for each run, and why no earlier run counts.

    None is for a run of no project.
    """
    if series is None:
        return {"points": [], "reason": "this run is of no project"}
    return {
        "points": [
            {
                "created_at": _isoformat(run.created_at),
                "commit": run.commit,
                "values": _trend_values(run),
            }
            for run in series.runs
        ],
        "reason": series.break_reason,
    }


def _trend_values(run: TrendRun) -> dict[str, JSON]:
    """Return the numbers by metric and key; the quality score is of no metric."""
    of_metrics = {
        metric: {key: value for key, value in numbers.items() if key not in LEFT_OUT}
        for metric, numbers in run.numbers.items()
    }
    return {**of_metrics.pop(QUALITY, {}), **of_metrics}


def empty_result_to_json(result: Unfinished | JobFailed) -> dict[str, JSON]:
    """Return the shape of a result for a job without one: its values are null, and `errors` holds the job's error."""
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
        "history": None,
        "comparison": None,
        "quality_score": None,
        "review": None,
        "insights": None,
        "standing": None,
        "options": job["options"],
        "tags": None,
    }
