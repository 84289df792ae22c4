"""Fields of the log line at the end of a job. They contain no secret."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog

from domain.jobs import Job
from domain.metrics.report import Analysis
from domain.sources import SourceKind
from domain.text import JSON, one_line
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.cleanup import EndedJob
from infrastructure.database.repositories.maintenance import RescuedJob
from worker.analysis.timeline import Timeline

MAX_NAME_CHARACTERS = 200

log = structlog.get_logger(__name__)


def source_name(kind: SourceKind, metadata: Mapping[str, JSON]) -> str:
    """Return `host/owner/repository` for a repository, and the kind of file (`upload .zip`) for an upload.

    The URL's user name and password are left out: other programs write rows too, and may have put a token there.
    """
    if kind is SourceKind.UPLOAD:
        name = str(metadata.get("upload_filename")).lower()
        return f"upload {next((ending for ending in ('.py', '.zip') if name.endswith(ending)), 'of another kind')}"
    try:
        parts = urlsplit(str(metadata.get("git_repo_url")))
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        place = ""
    return one_line(f"{place}{parts.path}", MAX_NAME_CHARACTERS) if place else "unreadable address"


def queue_wait_ms(job: Job) -> int | None:
    """Return the time from being due to being claimed, by the database's clock; None if the job was never claimed."""
    if job.started_at is None:
        return None
    return max(0, round((job.started_at - job.run_after).total_seconds() * 1000))


def end_of_job_fields(
    job: Job, timeline: Timeline, *, outcome: str, analysis: Analysis | None = None
) -> dict[str, JSON]:
    """Return the fields beside `job_id`, `attempt` and `user_id`, which are bound to the log."""
    facts: dict[str, JSON] = {
        "outcome": outcome,
        "source": source_name(job.source_kind, job.source_metadata),
        "queue_wait_ms": queue_wait_ms(job),
        "duration_ms": timeline.elapsed_ms,
        "stages_ms": timeline.stages_ms(),
    }
    if analysis is not None:
        facts["files"] = analysis.completeness["files"]
        facts["lines"] = analysis.metrics["size"]["sloc"]
        facts["errors"] = len(analysis.errors)
    return facts


def log_failed(job: RescuedJob | EndedJob, *, kind: str, reason: str | None) -> None:
    """Log the end of a job that maintenance has failed."""
    outcome = "cancelled" if reason == CANCELLED else "failed"
    source = source_name(job.source_kind, job.source)
    log.info("job.failed", **job_fields(job), outcome=outcome, source=source, kind=kind, reason=reason)


def job_fields(job: RescuedJob | EndedJob) -> dict[str, JSON]:
    """Return the fields that identify an attempt in the log."""
    return {"job_id": job.job_id, "attempt": job.attempt, "user_id": str(job.user_id)}
