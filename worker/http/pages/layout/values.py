"""Values of jobs and runs as several pages show them."""

from typing import Any
from urllib.parse import quote

from domain.gate.evaluation import Verdict
from domain.jobs import Job, JobStatus
from worker.export.html.values import line, moment

VERDICTS = {
    str(Verdict.APPROVED): ("approved", "approved"),
    str(Verdict.REJECTED): ("rejected", "rejected"),
    str(Verdict.NOT_EVALUATED): ("unknown", "not evaluated"),
}
"""A verdict as a class of the style sheet, and in words."""

_NAMES = ("project_name", "git_repo_url", "upload_filename")
_STATES = {JobStatus.PENDING: "low", JobStatus.RUNNING: "medium", JobStatus.COMPLETED: "good", JobStatus.FAILED: "high"}


def job_row(job: Job) -> dict[str, Any]:
    """Return a job as lists and its page show it."""
    metadata = job.source_metadata
    return {
        "job_id": job.job_id,
        "short": job.job_id[:12],
        "source": line(
            metadata.get("project_name") or metadata.get("git_repo_url") or metadata.get("upload_filename"), 120
        ),
        "status": str(job.status),
        "chip": _STATES[job.status],
        "stage": line(job.stage, 60) or None,
        "progress": job.progress,
        "attempt": job.attempt,
        "error": line(job.error_message, 500) or None,
        "created": moment(job.created_at),
        "started": moment(job.started_at),
        "finished": moment(job.finished_at),
        "run_id": None if job.result_run_id is None else str(job.result_run_id),
        "is_open": not job.status.finished,
        "is_failed": job.status is JobStatus.FAILED,
        "is_cancelling": job.cancel_requested_at is not None and not job.status.finished,
        "worker": line(job.worker_id, 80) or None,
    }


def source_link(url: str | None, sha: str | None, path: str, line_number: int | None) -> str | None:
    """Return the address of a line on the repository's host at a commit; None where the host has no such pages.

    GitHub, Gitea and Codeberg, and Bitbucket and GitLab each have a form of their own.
    """
    if not url or not sha or not url.startswith("https://"):
        return None
    base, host = url.rstrip("/").removesuffix(".git"), url.removeprefix("https://").partition("/")[0]
    file = quote(path)
    if "gitlab" in host:
        return f"{base}/-/blob/{sha}/{file}" + (f"#L{line_number}" if line_number else "")
    if host == "bitbucket.org":
        return f"{base}/src/{sha}/{file}" + (f"#lines-{line_number}" if line_number else "")
    if host in ("codeberg.org", "gitea.com"):
        return f"{base}/src/commit/{sha}/{file}" + (f"#L{line_number}" if line_number else "")
    return f"{base}/blob/{sha}/{file}" + (f"#L{line_number}" if line_number else "")
