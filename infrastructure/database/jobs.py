"""Jobs as their owners see them: submit, look, cancel, retry, delete. Whose a job is, the caller checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from domain.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.jobs import JOB_VERSION, Job, JobStatus, SubmissionLimits
from domain.sources import SourceKind
from domain.text import JSON, one_line, printable, safe_json
from infrastructure.database.attempts import CANCELLED, AttemptRepository, LeaseState
from infrastructure.database.mapping import JOB_COLUMNS, WITHOUT_DATA, job_from
from infrastructure.database.upkeep import UpkeepRepository

__all__ = ["JobRepository", "LeaseState", "Submitted"]

MAX_KEY_LENGTH = 200

# Not FOR UPDATE: that would also keep runs and jobs from being written for the user meanwhile.
_LOCK_USER = text("SELECT 1 FROM users WHERE id = :user_id FOR NO KEY UPDATE")
_COUNT_UNFINISHED = text("SELECT count(*) FROM jobs WHERE user_id = :user_id AND status IN ('pending', 'running')")
_TODAY = "(statement_timestamp() AT TIME ZONE 'UTC')::date"
_COUNT_TODAY = text(f"SELECT submitted FROM daily_usage WHERE user_id = :user_id AND day = {_TODAY}")  # noqa: S608
_COUNT_UP = text(f"""
    INSERT INTO daily_usage AS usage (user_id, day, submitted) VALUES (:user_id, {_TODAY}, 1)
    ON CONFLICT (user_id, day) DO UPDATE SET submitted = usage.submitted + 1
    RETURNING submitted
""")  # noqa: S608

# It is rung right after the commit, so it is born as rung once: no second transaction for that.
_INSERT = text(f"""
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, idempotency_key, version, ring, rung_at)
    VALUES (:job_id, :user_id, 'pending', :source_kind, :metadata, :idempotency_key, {JOB_VERSION}, 1,
        statement_timestamp())
    RETURNING {JOB_COLUMNS}
""").bindparams(bindparam("metadata", type_=JSONB))  # noqa: S608

_GET = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = :job_id")  # noqa: S608
_BY_KEY = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE user_id = :user_id AND idempotency_key = :key")  # noqa: S608
_LIST = text(f"""
    SELECT {JOB_COLUMNS} FROM jobs
    WHERE user_id = :user_id
        AND (CAST(:status AS varchar) IS NULL OR status = :status)
        AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
    ORDER BY created_at DESC, job_id DESC LIMIT :limit
""")  # noqa: S608

_MARK_RUNG = text(
    "UPDATE jobs SET ring = ring + 1, rung_at = statement_timestamp() WHERE job_id = :job_id RETURNING ring"
)

_CANCEL = text(f"""
    UPDATE jobs
    SET cancel_requested_at = coalesce(cancel_requested_at, statement_timestamp()),
        status = CASE status WHEN 'pending' THEN 'failed' ELSE status END,
        error_message = CASE status WHEN 'pending' THEN '{CANCELLED}' ELSE error_message END,
        finished_at = CASE status WHEN 'pending' THEN statement_timestamp() ELSE finished_at END,
        source_metadata = CASE status WHEN 'pending' THEN {WITHOUT_DATA} ELSE source_metadata END
    WHERE job_id = :job_id AND status IN ('pending', 'running')
    RETURNING {JOB_COLUMNS}
""")  # noqa: S608

_REQUEUE = text(f"""
    UPDATE jobs
    SET status = 'pending', error_message = NULL, finished_at = NULL, started_at = NULL, cancel_requested_at = NULL,
        attempt_errors = '[]', progress = 0, run_after = statement_timestamp(), ring = ring + 1,
        rung_at = statement_timestamp()
    WHERE job_id = :job_id AND status = 'failed' AND (source_kind <> 'upload' OR source_metadata ? 'file_data')
    RETURNING {JOB_COLUMNS}
""")  # noqa: S608

_DELETE = text("DELETE FROM jobs WHERE job_id = :job_id AND status IN ('completed', 'failed')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job of a submission. `created` is False where the same idempotency key had made it before."""

    job: Job
    created: bool


class JobRepository(AttemptRepository, UpkeepRepository):
    """The table `jobs` (and `daily_usage`), within one unit of work: for owners here, for workers in the bases."""

    async def submit(
        self,
        *,
        job_id: str,
        user_id: UUID,
        source_kind: SourceKind,
        source_metadata: Mapping[str, JSON],
        limits: SubmissionLimits,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Insert a pending job under the user's lock, so that no number of submissions at once passes a limit.

        It counts as rung once: after the commit ring `{job_id}:{job.ring}`. Raises LimitExceededError, NotFoundError
        for an unknown user, and InvalidInputError for a bad idempotency key.
        """
        await self.lock_user(user_id)
        if idempotency_key is not None:
            known = await self.find_by_idempotency_key(user_id, idempotency_key)
            if known is not None:
                return Submitted(job=known, created=False)
        limits.check(unfinished=await self.count_unfinished(user_id), today=await self.count_today(user_id))
        await self.increment_daily_usage(user_id)
        job = await self.insert_pending(
            job_id=job_id,
            user_id=user_id,
            source_kind=source_kind,
            source_metadata=source_metadata,
            idempotency_key=idempotency_key,
        )
        return Submitted(job=job, created=True)

    async def lock_user(self, user_id: UUID) -> None:
        """Let one submission of the user at a time through, until the unit of work ends. Raises NotFoundError."""
        if await self._connection.scalar(_LOCK_USER, {"user_id": user_id}) is None:
            raise NotFoundError("there is no such user")

    async def count_unfinished(self, user_id: UUID) -> int:
        """How many of the user's jobs are pending or running."""
        return int(await self._connection.scalar(_COUNT_UNFINISHED, {"user_id": user_id}) or 0)

    async def count_today(self, user_id: UUID) -> int:
        """How many jobs the user has submitted today (UTC), deleted ones too."""
        return int(await self._connection.scalar(_COUNT_TODAY, {"user_id": user_id}) or 0)

    async def increment_daily_usage(self, user_id: UUID) -> int:
        """Count one more submission of today (UTC), and say how many there are."""
        return int(await self._connection.scalar(_COUNT_UP, {"user_id": user_id}) or 0)

    async def find_by_idempotency_key(self, user_id: UUID, key: str) -> Job | None:
        """The user's job of that key, finished or not. Raises InvalidInputError for a bad key."""
        return await self._one_or_none(_BY_KEY, {"user_id": user_id, "key": _checked_key(key)})

    async def insert_pending(
        self,
        *,
        job_id: str,
        user_id: UUID,
        source_kind: SourceKind,
        source_metadata: Mapping[str, JSON],
        idempotency_key: str | None = None,
    ) -> Job:
        """A new job, due at once. No limit is looked at: that is `submit`."""
        values = {
            "job_id": job_id,
            "user_id": user_id,
            "source_kind": source_kind.value,
            "metadata": safe_json(source_metadata),
            "idempotency_key": None if idempotency_key is None else _checked_key(idempotency_key),
        }
        job = await self._one_or_none(_INSERT, values)
        if job is None:
            raise RuntimeError("PostgreSQL returned no row for an INSERT")
        return job

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
        return [job_from(row) for row in (await self._connection.execute(_LIST, values)).mappings()]

    async def request_cancel(self, job_id: str) -> Job:
        """A pending job fails at once, `cancelled by user`; a running one is marked, and its worker ends it.

        A finished job is returned as it is. Raises NotFoundError.
        """
        return await self._one_or_none(_CANCEL, _named(job_id)) or await self.get(job_id)

    async def requeue_failed(self, job_id: str) -> Job:
        """A failed job is pending again, its attempts' errors forgotten; ring it with its `ring` after the commit.

        Raises NotFoundError, IllegalTransitionError where it has not failed, and InvalidInputError where its upload
        is no longer kept.
        """
        job = await self._one_or_none(_REQUEUE, _named(job_id))
        if job is not None:
            return job
        found = await self.get(job_id)
        if found.status is not JobStatus.FAILED:
            raise IllegalTransitionError(f"the job is {found.status}: only a failed job can be retried")
        raise InvalidInputError("the upload is no longer kept: submit it again")

    async def delete(self, job_id: str) -> bool:
        """Delete the job if it has finished, and say whether this did."""
        return (await self._connection.execute(_DELETE, _named(job_id))).rowcount > 0

    async def _one_or_none(self, statement: TextClause, values: Mapping[str, JSON]) -> Job | None:
        row = (await self._connection.execute(statement, values)).mappings().one_or_none()
        return None if row is None else job_from(row)


def _checked_key(key: str) -> str:
    if not key or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidInputError(f"an idempotency key must be 1 to {MAX_KEY_LENGTH} printable characters")
    return key


def _named(job_id: str) -> dict[str, JSON]:
    # From a command line or a URL: PostgreSQL refuses some characters that no id of ours has.
    return {"job_id": printable(job_id)}


def _no_job(job_id: str) -> str:
    return f"there is no job {one_line(job_id, 80)}"
