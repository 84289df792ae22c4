"""Jobs as their owners use them: read, list, cancel, retry, delete. Callers check who the owner is."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.jobs import Job, JobCursor, JobStatus, Transition
from domain.options import evaluation_id_of
from domain.text import JSON, one_line, printable
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.engine import Database
from infrastructure.database.evaluations.ending import end_members, reopen
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.claims import TURN_OF_USER
from infrastructure.database.repositories.mapping import (
    FINISHED,
    JOB_COLUMNS,
    UNFINISHED,
    WITHOUT_DATA,
    job_from_row,
)

_HEXADECIMAL = re.compile("[0-9a-f]{1,31}")
"""Matches the beginning of an id as `submit` makes it. A whole id has 32 digits."""

_DROP, _RETRY = Transition.DROP, Transition.RETRY

_GET = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = :job_id")  # nosec B608 # noqa: S608 - no input in it
# A bound that is not given becomes infinite, and the state is part of the text. So every plan, also one that PostgreSQL
# keeps for all parameters, starts at the cursor in `ix_jobs_user_id_created_at_job_id` or, for jobs that have ended in
# one way, in `ix_jobs_ended_user`.
_LIST = f"""
    SELECT {JOB_COLUMNS} FROM jobs
    WHERE user_id = :user_id {{only}}
        AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        AND (created_at, job_id) < (coalesce(CAST(:before AS timestamptz), 'infinity'), CAST(:before_id AS varchar))
    ORDER BY created_at DESC, job_id DESC LIMIT :limit
"""  # nosec B608 # noqa: S608 - no input in it
_LISTS: Mapping[JobStatus | None, TextClause] = {
    None: text(_LIST.format(only="")),
    **{status: text(_LIST.format(only=f"AND status = '{status}'")) for status in JobStatus},
}

# All jobs by their last change: each status's first rows from `ix_jobs_status_updated_at`, merged.
_LIST_ALL = text(f"""
    SELECT users.email, {JOB_COLUMNS}
    FROM unnest(CAST(:statuses AS varchar[])) AS wanted (status) CROSS JOIN LATERAL (
        SELECT * FROM jobs
        WHERE jobs.status = wanted.status AND updated_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
            AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
            AND updated_at <= coalesce(CAST(:before AS timestamptz), 'infinity')
            AND (updated_at < coalesce(CAST(:before AS timestamptz), 'infinity') OR job_id > :before_id)
        ORDER BY updated_at DESC, job_id LIMIT :limit
    ) AS jobs JOIN users ON users.id = jobs.user_id
    ORDER BY jobs.updated_at DESC, jobs.job_id LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it

# `end` bounds the range in the primary key's index; `left` decides, since a collation may order dashes differently.
_FIND_ID = text("""
    SELECT job_id FROM jobs
    WHERE job_id >= :prefix AND job_id < :end AND left(job_id, length(:prefix)) = :prefix
        AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)
    ORDER BY job_id LIMIT 2
""")

_SELECT_IDS = text("""
    SELECT job_id FROM jobs
    WHERE (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id) AND status = ANY(CAST(:statuses AS varchar[]))
        AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
    ORDER BY created_at, job_id LIMIT :limit
""")


def _entries(source: str, action: Action, details: str = "'{}'::jsonb") -> str:
    return insert_entries(source, action, Resource.JOB, user="user_id", resource="job_id", details=details)


# Rows are locked in the order of their ids, so that two calls that change the same jobs cannot deadlock.
_CANCEL = text(f"""
    WITH chosen AS MATERIALIZED (
        SELECT job_id, user_id, status, cancel_requested_at AS asked_at FROM jobs
        WHERE job_id = ANY(CAST(:job_ids AS varchar[])) AND status IN {UNFINISHED}
        ORDER BY job_id FOR UPDATE
    ), logged AS (
        {_entries("chosen WHERE asked_at IS NULL", Action.CANCEL, "jsonb_build_object('status', status)")}
    ), dropped AS (
        DELETE FROM job_uploads USING chosen
        WHERE job_uploads.job_id = chosen.job_id AND chosen.status = '{_DROP.before}'
    )
    UPDATE jobs
    SET cancel_requested_at = coalesce(cancel_requested_at, statement_timestamp()),
        status = CASE jobs.status WHEN '{_DROP.before}' THEN '{_DROP.after}' ELSE jobs.status END,
        error_message = CASE jobs.status WHEN '{_DROP.before}' THEN '{CANCELLED}' ELSE error_message END,
        finished_at = CASE jobs.status WHEN '{_DROP.before}' THEN statement_timestamp() ELSE finished_at END,
        source_metadata = CASE jobs.status WHEN '{_DROP.before}' THEN {WITHOUT_DATA} ELSE source_metadata END
    FROM chosen WHERE jobs.job_id = chosen.job_id
    RETURNING {JOB_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_RETRY_FAILED = text(f"""
    WITH oldest AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE job_id = ANY(CAST(:job_ids AS varchar[])) AND status = '{_RETRY.before}'
            AND (source_kind <> 'upload' OR source_metadata ? 'file_data'
                OR EXISTS (SELECT 1 FROM job_uploads WHERE job_uploads.job_id = jobs.job_id))
        ORDER BY created_at, job_id LIMIT :limit
    ), chosen AS MATERIALIZED (
        SELECT jobs.job_id, jobs.user_id, jobs.created_at FROM jobs JOIN oldest ON oldest.job_id = jobs.job_id
        WHERE jobs.status = '{_RETRY.before}' ORDER BY jobs.job_id FOR UPDATE OF jobs
    ), turns AS MATERIALIZED (
        SELECT user_id, {TURN_OF_USER.format(user="chosen.user_id")} AS first
        FROM (SELECT DISTINCT user_id FROM chosen) AS chosen
    ), placed AS MATERIALIZED (
        SELECT job_id, turns.first + 2 * (row_number() OVER (PARTITION BY user_id ORDER BY created_at, job_id) - 1)
            AS turn
        FROM chosen JOIN turns USING (user_id)
    ), logged AS ({_entries("chosen", Action.RETRY)})
    UPDATE jobs
    SET status = '{_RETRY.after}', error_message = NULL, finished_at = NULL, started_at = NULL,
        cancel_requested_at = NULL, attempt_errors = '[]', progress = 0, run_after = statement_timestamp(),
        turn = placed.turn
    FROM placed WHERE jobs.job_id = placed.job_id
    RETURNING {JOB_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE = text(f"""
    WITH deleted AS (
        DELETE FROM jobs WHERE job_id = :job_id AND status IN {FINISHED}
        RETURNING job_id, user_id, status, result_run_id
    )
    {_entries("deleted", Action.TAKE, "jsonb_build_object('status', status, 'run_id', result_run_id)")}
""")  # nosec B608 # noqa: S608 - no input in it


class JobRepository:
    """The table `jobs` for owners and operators, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, job_id: str) -> Job:
        """Return the job. Raises NotFoundError."""
        rows = (await self._connection.execute(_GET, _job_id_parameter(job_id))).mappings().all()
        return _only_job(rows, job_id)

    async def find_id(self, prefix: str, user_id: UUID | None = None) -> str:
        """Return the id of the only job, of that user or of all, whose id begins with the hexadecimal `prefix`.

        Any other text is returned as it is, also one that begins no id. Raises InvalidInputError where several jobs
        match.
        """
        if not _HEXADECIMAL.fullmatch(prefix):
            return prefix
        values = {"prefix": prefix, "end": prefix + "g", "user_id": user_id}
        found = list((await self._connection.scalars(_FIND_ID, values)).all())
        if prefix in found or not found:
            return prefix
        if len(found) > 1:
            raise InvalidInputError(f"several job ids begin with {prefix!r}; give more characters")
        return str(found[0])

    async def list_all(
        self,
        statuses: Sequence[JobStatus],
        *,
        since: datetime | None,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> list[tuple[str, Job]]:
        """Return the jobs of all users in these states, the last changed first, each with its owner's email.

        `since` leaves out jobs created before it. For the next page, pass `updated_at` and id of the last job as
        `after`: all pages cost the same, and a job that changes meanwhile moves to the front.
        """
        before, before_id = (None, "") if after is None else (after[0], printable(after[1]))
        values: dict[str, JSON] = {"statuses": [str(each) for each in statuses], "since": since, "limit": limit}
        values |= {"before": before, "before_id": before_id}
        rows = (await self._connection.execute(_LIST_ALL, values)).mappings()
        return [(row["email"], job_from_row({name: row[name] for name in row if name != "email"})) for row in rows]

    async def list_jobs(
        self,
        user_id: UUID,
        *,
        status: JobStatus | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: JobCursor | None = None,
    ) -> list[Job]:
        """Return one page of the user's jobs, newest first, starting after `after`. All pages cost the same."""
        return await self._jobs(_LISTS[status], _page_values(user_id, since, limit, after))

    async def request_cancel(self, job_id: str, actor: Actor = Actor()) -> Job:  # noqa: B008 - frozen
        """Cancel a job: a pending one fails at once, a running one is marked and its worker ends it.

        A finished job is returned unchanged. Raises NotFoundError.
        """
        cancelled = await self.cancel_all([job_id], actor)
        return cancelled[0] if cancelled else await self.get(job_id)

    async def cancel_all(self, job_ids: Sequence[str], actor: Actor = Actor()) -> list[Job]:  # noqa: B008 - frozen
        """Cancel many jobs as `request_cancel` does; the result omits those that had ended."""
        values = {"job_ids": [printable(job_id) for job_id in job_ids]}
        jobs = await self._jobs(_CANCEL, {**values, **actor_values(actor)})
        await end_members(self._connection, [evaluation_id_of(job.options) for job in jobs if job.status.finished])
        return jobs

    async def retry_failed(self, job_id: str, actor: Actor = Actor()) -> Job:  # noqa: B008 - frozen
        """Make a failed job pending again, without the errors of its attempts. Enqueue it after the commit.

        Raises NotFoundError, IllegalTransitionError if the job has not failed, and InvalidInputError if its upload
        has been deleted.
        """
        retried = await self.retry_all([job_id], limit=1, actor=actor)
        if retried:
            return retried[0]
        found = await self.get(job_id)
        if found.status is not _RETRY.before:
            raise IllegalTransitionError(f"the job is {found.status}: only a failed job can be retried")
        raise InvalidInputError("the upload is no longer kept: submit it again")

    async def retry_all(
        self,
        job_ids: Sequence[str],
        *,
        limit: int | None,
        actor: Actor = Actor(),  # noqa: B008 - frozen
    ) -> list[Job]:
        """Retry the oldest `limit` (None: all) of these jobs; the result omits those that cannot be retried."""
        values = {"job_ids": [printable(job_id) for job_id in job_ids], "limit": limit}
        jobs = await self._jobs(_RETRY_FAILED, {**values, **actor_values(actor)})
        await reopen(self._connection, [evaluation_id_of(job.options) for job in jobs])
        return jobs

    async def select_ids(
        self, user_id: UUID | None, statuses: Sequence[JobStatus], *, since: datetime | None, limit: int
    ) -> list[str]:
        """Return the ids of jobs in these states, oldest first; without a user id, of all users."""
        values = {"user_id": user_id, "statuses": [str(status) for status in statuses], "since": since, "limit": limit}
        return list((await self._connection.scalars(_SELECT_IDS, values)).all())

    async def delete(self, job_id: str, actor: Actor = Actor()) -> bool:  # noqa: B008 - frozen
        """Delete the job if it has finished, because its result is taken. Returns whether a row was deleted."""
        values = {**_job_id_parameter(job_id), **actor_values(actor)}
        return (await self._connection.execute(_DELETE, values)).rowcount > 0

    async def _jobs(self, statement: TextClause, values: Mapping[str, JSON]) -> list[Job]:
        return [job_from_row(row) for row in (await self._connection.execute(statement, values)).mappings()]


async def fetch_job(database: Database, job_id: str) -> Job:
    """Return the job, as `JobRepository.get` in a transaction of its own. Raises NotFoundError."""
    return _only_job(await database.fetch(_GET, _job_id_parameter(job_id)), job_id)


async def fetch_jobs(
    database: Database,
    user_id: UUID,
    *,
    status: JobStatus | None,
    since: datetime | None,
    limit: int,
    after: JobCursor | None,
) -> list[Job]:
    """Return one page of the user's jobs, as `JobRepository.list_jobs` in a transaction of its own."""
    values = _page_values(user_id, since, limit, after)
    return [job_from_row(row) for row in await database.fetch(_LISTS[status], values)]


def _page_values(user_id: UUID, since: datetime | None, limit: int, after: JobCursor | None) -> dict[str, JSON]:
    before, before_id = (None, "") if after is None else (after.created_at, printable(after.job_id))
    return {"user_id": user_id, "since": since, "limit": limit, "before": before, "before_id": before_id}


def _only_job(rows: Sequence[Mapping[Any, Any]], job_id: str) -> Job:
    if not rows:
        raise NotFoundError(f"there is no job {one_line(job_id, 80)}")
    return job_from_row(rows[0])


def _job_id_parameter(job_id: str) -> dict[str, JSON]:
    # The id comes from a command line or a URL, and PostgreSQL refuses some characters, such as NUL.
    return {"job_id": printable(job_id)}
