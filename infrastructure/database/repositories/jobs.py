"""Jobs as their owners see them: look, cancel, retry, delete. Whose a job is, the caller checks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text

from domain.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.jobs import Job, JobStatus
from domain.text import JSON, one_line, printable
from infrastructure.database.repositories.attempts import CANCELLED, AttemptRepository, LeaseState
from infrastructure.database.repositories.maintenance import UpkeepRepository
from infrastructure.database.repositories.mapping import JOB_COLUMNS, WITHOUT_DATA, job_from
from infrastructure.database.repositories.submissions import SubmissionRepository

__all__ = ["JobRepository", "LeaseState"]

_GET = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = :job_id")  # nosec B608 # noqa: S608 - no input in it
_LIST = text(f"""
    SELECT {JOB_COLUMNS} FROM jobs
    WHERE user_id = :user_id
        AND (CAST(:status AS varchar) IS NULL OR status = :status)
        AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
    ORDER BY created_at DESC, job_id DESC LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it

_SELECT = text("""
    SELECT job_id FROM jobs
    WHERE (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id) AND status = ANY(CAST(:statuses AS varchar[]))
        AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
    ORDER BY created_at, job_id LIMIT :limit
""")

_MARK_RUNG = text(
    "UPDATE jobs SET ring = ring + 1, rung_at = statement_timestamp() WHERE job_id = :job_id RETURNING ring"
)

# Rows are locked in one order, so that two who change many at once do not wait for each other in a ring.
_CANCEL = text(f"""
    WITH chosen AS MATERIALIZED (
        SELECT job_id FROM jobs WHERE job_id = ANY(CAST(:job_ids AS varchar[])) AND status IN ('pending', 'running')
        ORDER BY job_id FOR UPDATE
    )
    UPDATE jobs
    SET cancel_requested_at = coalesce(cancel_requested_at, statement_timestamp()),
        status = CASE status WHEN 'pending' THEN 'failed' ELSE status END,
        error_message = CASE status WHEN 'pending' THEN '{CANCELLED}' ELSE error_message END,
        finished_at = CASE status WHEN 'pending' THEN statement_timestamp() ELSE finished_at END,
        source_metadata = CASE status WHEN 'pending' THEN {WITHOUT_DATA} ELSE source_metadata END
    FROM chosen WHERE jobs.job_id = chosen.job_id
    RETURNING {JOB_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_REQUEUE = text(f"""
    WITH oldest AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE job_id = ANY(CAST(:job_ids AS varchar[])) AND status = 'failed'
            AND (source_kind <> 'upload' OR source_metadata ? 'file_data')
        ORDER BY created_at, job_id LIMIT :most
    ), chosen AS MATERIALIZED (
        SELECT jobs.job_id FROM jobs JOIN oldest ON oldest.job_id = jobs.job_id
        WHERE jobs.status = 'failed' ORDER BY jobs.job_id FOR UPDATE OF jobs
    )
    UPDATE jobs
    SET status = 'pending', error_message = NULL, finished_at = NULL, started_at = NULL, cancel_requested_at = NULL,
        attempt_errors = '[]', progress = 0, run_after = statement_timestamp(), ring = ring + 1,
        rung_at = statement_timestamp()
    FROM chosen WHERE jobs.job_id = chosen.job_id
    RETURNING {JOB_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE = text("DELETE FROM jobs WHERE job_id = :job_id AND status IN ('completed', 'failed')")


class JobRepository(SubmissionRepository, AttemptRepository, UpkeepRepository):
    """The table `jobs` (and `daily_usage`), within one unit of work: for owners here, for the others in the bases."""

    async def mark_rung(self, job_id: str) -> int:
        """Note that the job is rung now, and with which number. Raises NotFoundError."""
        ring: int | None = await self._connection.scalar(_MARK_RUNG, _named(job_id))
        if ring is None:
            raise NotFoundError(_no_job(job_id))
        return ring

    async def get(self, job_id: str) -> Job:
        """The job. Raises NotFoundError."""
        job = await self._one_or_none(_GET, _named(job_id))
        if job is None:
            raise NotFoundError(_no_job(job_id))
        return job

    async def list_jobs(
        self, user_id: UUID, *, status: JobStatus | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[Job]:
        """The user's jobs, newest first."""
        values = {"user_id": user_id, "status": status, "since": since, "limit": limit}
        return await self._many(_LIST, values)

    async def request_cancel(self, job_id: str) -> Job:
        """A pending job fails at once, `cancelled by user`; a running one is marked, and its worker ends it.

        A finished job is returned as it is. Raises NotFoundError.
        """
        cancelled = await self.cancel_all([job_id])
        return cancelled[0] if cancelled else await self.get(job_id)

    async def cancel_all(self, job_ids: Sequence[str]) -> list[Job]:
        """The same for many; those that have ended are left out of the answer."""
        return await self._many(_CANCEL, {"job_ids": [printable(job_id) for job_id in job_ids]})

    async def requeue_failed(self, job_id: str) -> Job:
        """A failed job is pending again, its attempts' errors forgotten; ring it with its `ring` after the commit.

        Raises NotFoundError, IllegalTransitionError where it has not failed, and InvalidInputError where its upload
        is no longer kept.
        """
        requeued = await self.requeue_all([job_id], most=1)
        if requeued:
            return requeued[0]
        found = await self.get(job_id)
        if found.status is not JobStatus.FAILED:
            raise IllegalTransitionError(f"the job is {found.status}: only a failed job can be retried")
        raise InvalidInputError("the upload is no longer kept: submit it again")

    async def requeue_all(self, job_ids: Sequence[str], *, most: int | None) -> list[Job]:
        """The same for the oldest `most` (or all) of many; those that cannot be retried are left out of the answer."""
        return await self._many(_REQUEUE, {"job_ids": [printable(job_id) for job_id in job_ids], "most": most})

    async def select(
        self, user_id: UUID | None, statuses: Sequence[JobStatus], *, since: datetime | None, limit: int
    ) -> list[str]:
        """The ids of a user's jobs, or everybody's, in these states, oldest first."""
        values = {"user_id": user_id, "statuses": [str(status) for status in statuses], "since": since, "limit": limit}
        return list((await self._connection.scalars(_SELECT, values)).all())

    async def delete(self, job_id: str) -> bool:
        """Delete the job if it has finished, and say whether this did."""
        return (await self._connection.execute(_DELETE, _named(job_id))).rowcount > 0

    async def _many(self, statement: TextClause, values: Mapping[str, JSON]) -> list[Job]:
        return [job_from(row) for row in (await self._connection.execute(statement, values)).mappings()]

    async def _one_or_none(self, statement: TextClause, values: Mapping[str, JSON]) -> Job | None:
        row = (await self._connection.execute(statement, values)).mappings().one_or_none()
        return None if row is None else job_from(row)


def _named(job_id: str) -> dict[str, JSON]:
    # From a command line or a URL: PostgreSQL refuses some characters that no id of ours has.
    return {"job_id": printable(job_id)}


def _no_job(job_id: str) -> str:
    return f"there is no job {one_line(job_id, 80)}"
