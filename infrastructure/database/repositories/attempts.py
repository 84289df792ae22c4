"""Attempts: the reads and writes of the worker that holds a claim, but for the claim itself and its end.

Every write carries the claim's lease token and happens only while the job is running under that token. Every method
returns whether its write happened. All times are the database's.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import LeaseLostError
from domain.jobs import MAX_ATTEMPTS, JobStatus, Transition
from domain.options import evaluation_id_of
from domain.text import JSON, one_line
from infrastructure.database.access.usage import REFUNDED_NOW, refund
from infrastructure.database.evaluations.ending import end_members
from infrastructure.database.repositories.mapping import EVALUATION_OF, WITHOUT_DATA

CANCELLED = "cancelled by user"

CLAIMED = Transition.CLAIM.after
"""The state of a job while a worker holds its lease."""

_FENCE = f"job_id = :job_id AND lease_token = :token AND status = '{CLAIMED}'"

# Rows of other programs, and of earlier releases, hold the upload in base64 in their metadata.
_UPLOAD = text(f"""
    SELECT left(source_metadata ->> 'file_data', :limit) AS file_data,
        (SELECT data FROM job_uploads WHERE job_uploads.job_id = jobs.job_id) AS data
    FROM jobs WHERE {_FENCE}
""")  # nosec B608 # noqa: S608 - no input in it

# Rows are locked in the order of their ids, as every statement does that writes several.
_RENEW = text(f"""
    WITH held AS MATERIALIZED (
        SELECT jobs.job_id, held.stage, held.progress
        FROM jobs JOIN unnest(
            CAST(:ids AS varchar[]), CAST(:tokens AS uuid[]), CAST(:stages AS varchar[]),
            CAST(:progresses AS smallint[])
        ) AS held (job_id, token, stage, progress)
            ON jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = '{CLAIMED}'
        ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
    )
    UPDATE jobs
    SET lease_expires_at = statement_timestamp() + make_interval(secs => :lease),
        stage = coalesce(held.stage, jobs.stage), progress = held.progress
    FROM held WHERE jobs.job_id = held.job_id
    RETURNING jobs.lease_token AS token, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
""")  # nosec B608 # noqa: S608 - no input in it

_CHECK = text(f"""
    SELECT held.token, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
    FROM jobs JOIN unnest(CAST(:ids AS varchar[]), CAST(:tokens AS uuid[])) AS held (job_id, token)
        ON jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = '{CLAIMED}'
""")  # nosec B608 # noqa: S608 - no input in it

ERROR_ENTRY = """
    jsonb_build_array(jsonb_build_object(
        'attempt', jobs.attempt, 'at', statement_timestamp(),
        'kind', CAST(:kind AS varchar), 'message', CAST(:message AS varchar)))
"""

_CANCEL_REQUESTED = "cancel_requested_at IS NOT NULL"


def release(*, reason: str, counts: bool, deferred: bool = False, our_fault: str = "false") -> str:
    """Return the SET clause that takes a running job from its worker: pending again after `:delay` seconds, or failed.

    The job fails if its owner has requested its cancellation, or if `counts` (this is a failed attempt) and it was the
    last attempt allowed; `reason` is then the SQL of the error message. A job that is
    pending keeps its turn, the lowest there is, unless it is `deferred`: then it gets one when it is due. A job that
    fails by its last attempt is refunded, once in its life, if the SQL `our_fault` is true.
    """
    cancelled = f"jobs.{_CANCEL_REQUESTED}"
    last = f"jsonb_array_length(jobs.attempt_errors) + 1 >= {MAX_ATTEMPTS}" if counts else "false"
    ended = f"({cancelled} OR {last})"
    due = "statement_timestamp() + make_interval(secs => :delay)"
    return f"""
        status = CASE WHEN {ended} THEN '{Transition.FAIL.after}' ELSE '{Transition.REQUEUE.after}' END,
        error_message = CASE WHEN {cancelled} THEN '{CANCELLED}' WHEN {last} THEN {reason} END,
        finished_at = CASE WHEN {ended} THEN statement_timestamp() END,
        attempt_errors = jobs.attempt_errors {f"|| {ERROR_ENTRY}" if counts else ""},
        source_metadata = CASE WHEN {cancelled} THEN {WITHOUT_DATA} ELSE jobs.source_metadata END,
        run_after = CASE WHEN {ended} THEN jobs.run_after ELSE {due} END,
        turn = {"NULL" if deferred else "jobs.turn"},
        refunded_at = CASE WHEN NOT {cancelled} AND {last} AND {our_fault}
            THEN coalesce(jobs.refunded_at, statement_timestamp()) ELSE jobs.refunded_at END,
        lease_token = NULL, lease_expires_at = NULL, progress = 0, stage = NULL
    """


def settled(update: str) -> str:
    """Return the statement with the uploads of the jobs that it cancels deleted, and with its refunds.

    `update` must return `job_id`, `user_id`, `error_message` and REFUNDED_NOW.
    """
    return f"""
        WITH released AS ({update}), dropped AS (
            DELETE FROM job_uploads USING released
            WHERE job_uploads.job_id = released.job_id AND released.error_message = '{CANCELLED}'
        ), {refund("released")}
        SELECT * FROM released
    """  # nosec B608 # noqa: S608 - no input in it


_RELEASED = f"RETURNING jobs.job_id, jobs.status, jobs.error_message, {EVALUATION_OF}, jobs.user_id, {REFUNDED_NOW}"

_FAILED_ATTEMPT = release(
    reason="CAST(:message AS varchar)", counts=True, deferred=True, our_fault="CAST(:our_fault AS boolean)"
)
_RETRY_LATER = text(settled(f"UPDATE jobs SET {_FAILED_ATTEMPT} WHERE {_FENCE} {_RELEASED}"))  # nosec B608 # noqa: S608 - no input in it

_REQUEUE = text(
    settled(f"""
        UPDATE jobs SET {release(reason="NULL", counts=False)} WHERE {_FENCE} {_RELEASED}
    """)  # nosec B608 # noqa: S608 - no input in it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """A claim whose lease is to be renewed, and its progress in percent; without a stage the row keeps its own."""

    job_id: str
    token: UUID
    stage: str | None = None
    progress: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedJob:
    """A job taken from its worker: `pending` again, or `failed`."""

    job_id: str
    status: JobStatus
    error_message: str | None


class AttemptRepository:
    """What a worker does with the jobs that it claims, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def upload(self, job_id: str, token: UUID, *, limit: int) -> str:
        """Return the upload in base64, cut after `limit` characters; empty if there is none. Raises LeaseLostError."""
        values = {"job_id": job_id, "token": token, "limit": limit}
        row = (await self._connection.execute(_UPLOAD, values)).one_or_none()
        if row is None:
            raise LeaseLostError("the lease was lost before the upload was read")
        if row.data is not None:
            return base64.b64encode(row.data).decode()[:limit]
        return str(row.file_data or "")

    async def renew_leases(self, states: Sequence[LeaseState], lease_seconds: float) -> dict[UUID, bool]:
        """Renew the leases that are still held, and write the jobs' progress.

        Returns lease token to whether the job's cancellation was requested. A token that is missing from it is lost.
        """
        progress = {"stages": [_stage(state.stage) for state in states], "progresses": [s.progress for s in states]}
        return await self._leases(_RENEW, states, {"lease": lease_seconds, **progress})

    async def check_leases(self, states: Sequence[LeaseState]) -> dict[UUID, bool]:
        """Return what `renew_leases` returns, without writing anything."""
        return await self._leases(_CHECK, states, {})

    async def _leases(
        self, statement: TextClause, states: Sequence[LeaseState], values: Mapping[str, JSON]
    ) -> dict[UUID, bool]:
        held = {"ids": [state.job_id for state in states], "tokens": [state.token for state in states]}
        rows = await self._connection.execute(statement, {**held, **values})
        return {row.token: row.cancel_requested for row in rows}

    async def retry_later(
        self, job_id: str, token: UUID, kind: str, message: str, *, delay_seconds: float, our_fault: bool = False
    ) -> ReleasedJob | None:
        """Record a failed attempt: `pending` again after the delay, or `failed` if it was the last or is cancelled.

        `our_fault` says that the failure has nothing to do with what was submitted: then the job is refunded when it
        was the last attempt. Returns None if the lease was lost.
        """
        values = {"kind": kind, "message": one_line(message), "delay": delay_seconds, "our_fault": our_fault}
        return await self._release(_RETRY_LATER, job_id, token, values)

    async def requeue(self, job_id: str, token: UUID) -> ReleasedJob | None:
        """Make the job `pending` again at once, in its old place, without recording a failed attempt.

        It is `failed` if its cancellation was requested. Returns None if the lease was lost.
        """
        return await self._release(_REQUEUE, job_id, token, {"delay": 0.0})

    async def _release(
        self, statement: TextClause, job_id: str, token: UUID, values: Mapping[str, JSON]
    ) -> ReleasedJob | None:
        rows = await self._connection.execute(statement, {"job_id": job_id, "token": token, **values})
        row = rows.one_or_none()
        if row is None:
            return None
        released = ReleasedJob(job_id=row.job_id, status=JobStatus(row.status), error_message=row.error_message)
        if released.status.finished:
            await end_members(self._connection, [evaluation_id_of({"evaluation_id": row.evaluation_id})])
        return released


def _stage(stage: str | None) -> str | None:
    return None if stage is None else one_line(stage, 40)
