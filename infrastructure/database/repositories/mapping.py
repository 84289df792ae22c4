"""Columns in SQL, and rows to domain objects. JOB_COLUMNS never include an upload's data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.findings.measured_run import MeasuredRun
from domain.jobs import FINISHED_STATUSES, UNFINISHED_STATUSES, AttemptError, Job, JobStatus
from domain.runs import Run, RunOrigin, RunSummary
from domain.sources import SourceKind
from infrastructure.json_codec import loads

METADATA_CHARACTERS = 65_536
"""Longest source metadata, without the upload's data, and longest options that are read; longer text is cut."""

FINISHED = "('{}', '{}')".format(*FINISHED_STATUSES)
UNFINISHED = "('{}', '{}')".format(*UNFINISHED_STATUSES)
"""The statuses as SQL lists, for `status IN ...`."""

WITHOUT_DATA = """
    CASE jsonb_typeof(jobs.source_metadata)
        WHEN 'object' THEN jobs.source_metadata - 'file_data' ELSE jobs.source_metadata END
"""
"""SQL of `source_metadata` without the upload's data. Other programs write rows too, so it need not be an object."""

# The metadata is read as text: PostgreSQL accepts JSON that Python cannot parse, such as a number of 10,000 digits or
# lists nested by the thousand, and one such row must not keep a worker from claiming others.
JOB_COLUMNS = f"""
    jobs.job_id, jobs.user_id, jobs.status, jobs.source_kind,
    left(CAST({WITHOUT_DATA} AS text), {METADATA_CHARACTERS}) AS source_metadata,
    jobs.result_run_id, jobs.error_message, jobs.created_at, jobs.updated_at, jobs.attempt, jobs.run_after,
    jobs.progress, jobs.stage, jobs.started_at, jobs.finished_at, jobs.attempt_errors,
    jobs.cancel_requested_at, jobs.idempotency_key, jobs.notify_url, jobs.turn, jobs.small, jobs.worker_id,
    left(CAST(jobs.options AS text), {METADATA_CHARACTERS}) AS options, jobs.refunded_at
"""

EVALUATION_OF = "left(jobs.options ->> 'evaluation_id', 40) AS evaluation_id"
"""SQL of the evaluation that a job is a member of, as text that `domain.options.evaluation_id_of` reads."""

SOURCE_FIELDS = ("git_repo_url", "upload_filename")
OWNER_AND_SOURCE = """
    jobs.user_id, jobs.attempt, jobs.source_kind,
    left(jobs.source_metadata ->> 'git_repo_url', 300) AS git_repo_url,
    right(jobs.source_metadata ->> 'upload_filename', 10) AS upload_filename
"""
"""SQL of a job's owner, last attempt and source, for the log. SOURCE_FIELDS are the fields of its metadata."""

ORIGIN_COLUMNS = (
    "submission_type", "upload_filename", "project_name", "author_type", "author_model", "git_repo_url", "git_branch",
    "git_commit_sha",
)  # fmt: skip

SUMMARY_COLUMNS = (
    "run_id", "user_id", "job_id", "created_at", *ORIGIN_COLUMNS, "metrics", "errors", "completeness", "tool_versions",
    "duration_ms", "baseline_run_id", "pinned", "quality_score", "review_verdict", "tags",
)  # fmt: skip

REVIEW_COLUMNS = {
    "policy": "review_policy", "criteria": "review_criteria_checklist", "strengths": "review_strengths",
    "weaknesses": "review_weaknesses",
}  # fmt: skip
"""The columns of a review's documents, by their key in the object `review` of a result."""

MEASURED_COLUMNS = ("metrics", "findings", "file_tree", "completeness", "tool_versions", "options", "created_at")
"""What a comparison needs of a run."""


def job_from_row(row: Mapping[Any, Any]) -> Job:
    """Return the job of a row of JOB_COLUMNS."""
    values = dict(row)
    values["status"] = JobStatus(row["status"])
    values["source_kind"] = SourceKind(row["source_kind"])
    values["source_metadata"] = _metadata(row["source_metadata"])
    values["options"] = _metadata(row["options"])
    values["attempt_errors"] = tuple(_attempt_error(item) for item in row["attempt_errors"])
    return Job(**values)


def _metadata(text: str | None) -> Mapping[str, Any]:
    """Return the parsed object; empty if it is none. Who uses it checks what is in it."""
    try:
        value = loads(text or "null")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _attempt_error(item: dict[str, Any]) -> AttemptError:
    at = datetime.fromisoformat(item["at"])
    return AttemptError(attempt=item["attempt"], at=at, kind=item["kind"], message=item["message"])


def summary_from_row(row: Mapping[Any, Any]) -> RunSummary:
    """Return the summary of a row of SUMMARY_COLUMNS."""
    return RunSummary(**_summary_values(row))


def run_from_row(row: Mapping[Any, Any]) -> Run:
    """Return the run of a row of SUMMARY_COLUMNS and the large documents."""
    names = ("file_tree", "findings", "timings_ms", "history", "comparison", "options")
    documents = {name: row[name] for name in names}
    return Run(**_summary_values(row), **documents, review=_review(row))


def _review(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    if row["review_verdict"] is None:
        return None
    return {"verdict": row["review_verdict"], **{key: row[column] for key, column in REVIEW_COLUMNS.items()}}


def measured_from_row(row: Mapping[Any, Any]) -> MeasuredRun:
    """Return what a comparison needs from a row of MEASURED_COLUMNS."""
    documents = {name: row[name] for name in MEASURED_COLUMNS if name != "created_at"}
    return MeasuredRun(**documents, since=row["created_at"].isoformat())


def _summary_values(row: Mapping[Any, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in SUMMARY_COLUMNS if name not in ORIGIN_COLUMNS}
    values["origin"] = RunOrigin(**{name: row[name] for name in ORIGIN_COLUMNS})
    values["errors"] = tuple(row["errors"])
    values["duration_ms"] = row["duration_ms"] or 0  # runs older than the column have none
    return values
