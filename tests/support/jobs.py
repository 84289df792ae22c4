"""Users, jobs and runs as tests need them."""

import uuid
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import Job, SubmissionLimits
from domain.metrics import Analysis
from domain.runs import NewRun, RunOrigin
from domain.sources import SourceKind
from infrastructure.database.engine import Database
from infrastructure.database.jobs import JobRepository
from infrastructure.database.submissions import NewJob
from infrastructure.database.users import UserRepository

UPLOAD: dict[str, Any] = {"upload_filename": "a.py", "file_data": "cHJpbnQoMSk=", "project_name": "P"}
REPOSITORY: dict[str, Any] = {"git_repo_url": "https://github.com/owner/repo", "git_branch": "main"}
NO_LIMITS = SubmissionLimits(max_unfinished=10_000, max_per_day=10_000)


async def new_user(database: Database, email: str = "a@example.org") -> UUID:
    async with database.unit_of_work() as connection:
        return await UserRepository(connection).get_or_create(email)


async def submit(
    database: Database,
    user_id: UUID,
    metadata: dict[str, Any] | None = None,
    *,
    limits: SubmissionLimits = NO_LIMITS,
    idempotency_key: str | None = None,
) -> Job:
    source = REPOSITORY if metadata is None else metadata
    job = new_job(source, idempotency_key=idempotency_key)
    async with database.unit_of_work() as connection:
        (submitted,) = await JobRepository(connection).submit(user_id, [job], limits)
    return submitted.job


def new_job(
    metadata: dict[str, Any] = REPOSITORY, *, idempotency_key: str | None = None, notify_url: str | None = None
) -> NewJob:
    return NewJob(
        job_id=uuid.uuid4().hex,
        source_kind=SourceKind.UPLOAD if "upload_filename" in metadata else SourceKind.GITHUB,
        source_metadata=metadata,
        idempotency_key=idempotency_key,
        notify_url=notify_url,
    )


async def look(database: Database, job_id: str) -> Job:
    async with database.unit_of_work() as connection:
        return await JobRepository(connection).get(job_id)


def analysis(**changes: Any) -> Analysis:
    values: dict[str, Any] = {
        "metrics": {"size": {"files": 1, "sloc": 1, "avg_file_sloc": 1}},
        "file_tree": {"name": "root", "type": "directory", "path": "", "children": []},
        "findings": {"total": 0, "items": []},
        "errors": [],
        "completeness": {"files": 1, "analyzed": 1, "skipped": [], "collectors": {"size": "ok"}},
        "tool_versions": {"python": "3.11"},
        "timings_ms": {"size": 3},
    }
    return Analysis(**(values | changes))


def new_run(user_id: UUID, job_id: str = "job", **changes: Any) -> NewRun:
    return NewRun(
        run_id=uuid.uuid4(),
        user_id=user_id,
        job_id=job_id,
        origin=RunOrigin(submission_type="upload", upload_filename="a.py"),
        analysis=analysis(**changes),
        duration_ms=12,
    )


async def age(connection: AsyncConnection, table: str, key: str, value: Any, **columns: float) -> None:
    """Move a row's timestamps so many seconds into the past, `updated_at` too, which the trigger would not allow."""
    await connection.execute(text("SET LOCAL session_replication_role = replica"))
    moves = ", ".join(f"{name} = {name} - make_interval(secs => {float(by)})" for name, by in columns.items())
    done = await connection.execute(text(f"UPDATE {table} SET {moves} WHERE {key} = :key"), {"key": value})  # noqa: S608
    assert done.rowcount == 1
    await connection.execute(text("SET LOCAL session_replication_role = origin"))
