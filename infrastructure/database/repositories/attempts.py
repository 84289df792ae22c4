"""Attempts: the claim of a job, and the writes of the worker that holds the claim.

Every write carries the claim's lease token and happens only while the job is running under that token. Every method
returns whether its write happened. All times are the database's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import CancelledByUserError, LeaseLostError
from domain.jobs import JOB_VERSION, MAX_ATTEMPTS, Claim, JobStatus, Transition
from domain.sources import SMALL_UPLOAD_CHARACTERS
from domain.text import JSON, one_line
from infrastructure.database.repositories.mapping import JOB_COLUMNS, WITHOUT_DATA, job_from_row

CANCELLED = "cancelled by user"

_CLAIM_CHANGE, _COMPLETE_CHANGE, _FAIL_CHANGE = Transition.CLAIM, Transition.COMPLETE, Transition.FAIL
CLAIMED = _CLAIM_CHANGE.after
"""The state of a job while a worker holds its lease."""

# The first step finds the oldest due row of a user with no running job, which the index returns at once; only without
# such a row are all due rows sorted. The CTEs are materialised because a claim that the planner folds into a join may
# lock more rows than it takes. A row that another claim has locked is skipped; one that another claim has just
# committed is no longer pending when it is locked.
_CLAIM = text(f"""
    WITH busy AS MATERIALIZED (
        SELECT user_id, count(*) AS running FROM jobs WHERE status = '{CLAIMED}' GROUP BY user_id
    ), idle AS MATERIALIZED (
        SELECT due.job_id FROM jobs AS due
        WHERE due.status = '{_CLAIM_CHANGE.before}' AND due.run_after <= statement_timestamp()
            AND due.version <= {JOB_VERSION}
            AND due.user_id NOT IN (SELECT user_id FROM busy)
            AND NOT EXISTS (SELECT 1 FROM fleet_controls WHERE name = 'paused')
        ORDER BY due.created_at, due.job_id
        LIMIT 1
        FOR UPDATE OF due SKIP LOCKED
    ), ranked AS MATERIALIZED (
        SELECT due.job_id FROM jobs AS due LEFT JOIN busy ON busy.user_id = due.user_id
        WHERE due.status = '{_CLAIM_CHANGE.before}' AND due.run_after <= statement_timestamp()
            AND due.version <= {JOB_VERSION}
            AND NOT EXISTS (SELECT 1 FROM idle)
            AND NOT EXISTS (SELECT 1 FROM fleet_controls WHERE name = 'paused')
        ORDER BY coalesce(busy.running, 0), due.created_at, due.job_id
        LIMIT 1
        FOR UPDATE OF due SKIP LOCKED
    )
    UPDATE jobs
    SET status = '{CLAIMED}', attempt = jobs.attempt + 1, lease_token = gen_random_uuid(),
        lease_expires_at = statement_timestamp() + make_interval(secs => :lease), started_at = statement_timestamp(),
        finished_at = NULL, error_message = NULL, progress = 0, stage = NULL
    FROM (SELECT job_id FROM idle UNION ALL SELECT job_id FROM ranked) AS fairest
    WHERE jobs.job_id = fairest.job_id
    RETURNING jobs.lease_token, {JOB_COLUMNS}, CASE WHEN octet_length(jobs.source_metadata ->> 'file_data')
        <= {SMALL_UPLOAD_CHARACTERS} THEN jobs.source_metadata ->> 'file_data' END AS file_data
""")  # nosec B608 # noqa: S608 - no input in it

_FENCE = f"job_id = :job_id AND lease_token = :token AND status = '{CLAIMED}'"

_FILE_DATA = text(f"SELECT left(source_metadata ->> 'file_data', :limit) AS data FROM jobs WHERE {_FENCE}")  # nosec B608 # noqa: S608 - no input in it

_RENEW = text(f"""
    UPDATE jobs
    SET lease_expires_at = statement_timestamp() + make_interval(secs => :lease),
        stage = coalesce(held.stage, jobs.stage), progress = held.progress
    FROM unnest(
        CAST(:ids AS varchar[]), CAST(:tokens AS uuid[]), CAST(:stages AS varchar[]), CAST(:progresses AS smallint[])
    ) AS held (job_id, token, stage, progress)
    WHERE jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = '{CLAIMED}'
    RETURNING jobs.job_id, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
""")  # nosec B608 # noqa: S608 - no input in it

_CHECK = text(f"""
    SELECT jobs.job_id, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
    FROM jobs JOIN unnest(CAST(:ids AS varchar[]), CAST(:tokens AS uuid[])) AS held (job_id, token)
        ON jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = '{CLAIMED}'
""")  # nosec B608 # noqa: S608 - no input in it

_COMPLETE = text(f"""
    UPDATE jobs
    SET status = '{_COMPLETE_CHANGE.after}', result_run_id = :run_id, error_message = NULL, progress = 100,
        stage = NULL, finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        source_metadata = {WITHOUT_DATA}
    WHERE {_FENCE} AND cancel_requested_at IS NULL
""")  # nosec B608 # noqa: S608 - no input in it

_IS_CANCELLED = text(f"SELECT 1 FROM jobs WHERE {_FENCE} AND cancel_requested_at IS NOT NULL")  # nosec B608 # noqa: S608 - no input in it

ERROR_ENTRY = """
    jsonb_build_array(jsonb_build_object(
        'attempt', jobs.attempt, 'at', statement_timestamp(),
        'kind', CAST(:kind AS varchar), 'message', CAST(:message AS varchar)))
"""

_CANCEL_REQUESTED = "cancel_requested_at IS NOT NULL"

_FAIL = text(f"""
    UPDATE jobs
    SET status = '{_FAIL_CHANGE.after}', attempt_errors = attempt_errors || {ERROR_ENTRY}, stage = NULL,
        error_message = CASE WHEN {_CANCEL_REQUESTED} THEN '{CANCELLED}' ELSE :message END,
        finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        source_metadata = CASE WHEN :drop_data OR {_CANCEL_REQUESTED} THEN {WITHOUT_DATA} ELSE source_metadata END
    WHERE {_FENCE}
""")  # nosec B608 # noqa: S608 - no input in it


def release(*, reason: str, counts: bool) -> str:
    """Return the SET clause that takes a running job from its worker: pending again after `:delay` seconds, or failed.

    The job fails if its owner has requested its cancellation, or if `counts` (this is a failed attempt) and it was the
    last attempt allowed; `reason` is then the SQL of the error message. The wake-up number rises, so that a wake-up
    that cannot be enqueued is issued again by maintenance.
    """
    cancelled = f"jobs.{_CANCEL_REQUESTED}"
    last = f"jsonb_array_length(jobs.attempt_errors) + 1 >= {MAX_ATTEMPTS}" if counts else "false"
    ended = f"({cancelled} OR {last})"
    due = "statement_timestamp() + make_interval(secs => :delay)"
    return f"""
        status = CASE WHEN {ended} THEN '{_FAIL_CHANGE.after}' ELSE '{Transition.REQUEUE.after}' END,
        error_message = CASE WHEN {cancelled} THEN '{CANCELLED}' WHEN {last} THEN {reason} END,
        finished_at = CASE WHEN {ended} THEN statement_timestamp() END,
        attempt_errors = jobs.attempt_errors {f"|| {ERROR_ENTRY}" if counts else ""},
        source_metadata = CASE WHEN {cancelled} THEN {WITHOUT_DATA} ELSE jobs.source_metadata END,
        run_after = CASE WHEN {ended} THEN jobs.run_after ELSE {due} END,
        ring = jobs.ring + 1, rung_at = {due},
        lease_token = NULL, lease_expires_at = NULL, progress = 0, stage = NULL
    """


_RELEASED = "RETURNING jobs.job_id, jobs.status, jobs.ring AS wakeup_number, jobs.error_message"

_RETRY_LATER = text(f"""
    UPDATE jobs SET {release(reason="CAST(:message AS varchar)", counts=True)} WHERE {_FENCE} {_RELEASED}
""")  # nosec B608 # noqa: S608 - no input in it

_REQUEUE = text(f"""
    UPDATE jobs SET {release(reason="NULL", counts=False)} WHERE {_FENCE} {_RELEASED}
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """A claim whose lease is to be renewed, and its progress in percent; without a stage the row keeps its own."""

    job_id: str
    token: UUID
    stage: str | None = None
    progress: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedJob:
    """A job taken from its worker: `pending`, to be enqueued under `wakeup_number`, or `failed`."""

    job_id: str
    status: JobStatus
    wakeup_number: int
    error_message: str | None


class AttemptRepository:
    """What a worker does with the jobs that it claims, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim_next(self, lease_seconds: float) -> Claim | None:
        """Claim the fairest due job: fewest running jobs of its owner first, then the oldest. None if none is due.

        Nothing is claimed while the fleet is paused, and no job of a version newer than JOB_VERSION. Two concurrent
        claims never get the same job, and neither waits for the other.
        """
        row = (await self._connection.execute(_CLAIM, {"lease": lease_seconds})).mappings().one_or_none()
        if row is None:
            return None
        values = dict(row)
        token, data = values.pop("lease_token"), values.pop("file_data")
        return Claim(job=job_from_row(values), lease_token=token, file_data=data)

    async def file_data(self, job_id: str, token: UUID, *, limit: int) -> str:
        """Return the upload in base64, cut after `limit` characters; empty if there is none. Raises LeaseLostError."""
        values = {"job_id": job_id, "token": token, "limit": limit}
        row = (await self._connection.execute(_FILE_DATA, values)).one_or_none()
        if row is None:
            raise LeaseLostError("the lease was lost before the upload was read")
        return str(row.data or "")

    async def renew_leases(self, states: Sequence[LeaseState], lease_seconds: float) -> dict[str, bool]:
        """Renew the leases that are still held, and write the jobs' progress.

        Returns job id to whether its cancellation was requested. A job that is missing from it has lost its lease.
        """
        progress = {"stages": [_stage(state.stage) for state in states], "progresses": [s.progress for s in states]}
        return await self._leases(_RENEW, states, {"lease": lease_seconds, **progress})

    async def check_leases(self, states: Sequence[LeaseState]) -> dict[str, bool]:
        """Return what `renew_leases` returns, without writing anything."""
        return await self._leases(_CHECK, states, {})

    async def _leases(
        self, statement: TextClause, states: Sequence[LeaseState], values: Mapping[str, JSON]
    ) -> dict[str, bool]:
        held = {"ids": [state.job_id for state in states], "tokens": [state.token for state in states]}
        rows = await self._connection.execute(statement, {**held, **values})
        return {row.job_id: row.cancel_requested for row in rows}

    async def complete(self, job_id: str, token: UUID, run_id: UUID) -> bool:
        """Set the job `completed` with this run. Returns False, with nothing written, if the lease was lost.

        Raises CancelledByUserError if the owner has requested the cancellation: the caller must roll back the
        unit of work, which holds the run, and end the job as cancelled.
        """
        fence = {"job_id": job_id, "token": token}
        if (await self._connection.execute(_COMPLETE, {**fence, "run_id": run_id})).rowcount:
            return True
        if await self._connection.scalar(_IS_CANCELLED, fence):
            raise CancelledByUserError(CANCELLED)
        return False

    async def fail(self, job_id: str, token: UUID, kind: str, message: str, *, drop_data: bool = False) -> bool:
        """Set the job `failed` for good and record the attempt's error. Returns False if the lease was lost.

        `drop_data` deletes the upload, which is kept for a retry otherwise. A job whose cancellation was requested ends
        as cancelled, whatever the error was.
        """
        values = {"kind": kind, "message": one_line(message), "drop_data": drop_data}
        done = await self._connection.execute(_FAIL, {"job_id": job_id, "token": token, **values})
        return done.rowcount > 0

    async def retry_later(
        self, job_id: str, token: UUID, kind: str, message: str, *, delay_seconds: float
    ) -> ReleasedJob | None:
        """Record a failed attempt: `pending` again after the delay, or `failed` if it was the last or is cancelled.

        Returns None if the lease was lost.
        """
        values = {"kind": kind, "message": one_line(message), "delay": delay_seconds}
        return await self._release(_RETRY_LATER, job_id, token, values)

    async def requeue(self, job_id: str, token: UUID) -> int | None:
        """Make the job `pending` again at once, without recording a failed attempt. Returns its new wake-up number.

        Returns None if the lease was lost, or if the job has ended because its cancellation was requested.
        """
        released = await self._release(_REQUEUE, job_id, token, {"delay": 0.0})
        return None if released is None or released.status.finished else released.wakeup_number

    async def _release(
        self, statement: TextClause, job_id: str, token: UUID, values: Mapping[str, JSON]
    ) -> ReleasedJob | None:
        rows = await self._connection.execute(statement, {"job_id": job_id, "token": token, **values})
        row = rows.mappings().one_or_none()
        return None if row is None else _released_from_row(row)


def _released_from_row(row: RowMapping) -> ReleasedJob:
    return ReleasedJob(**{**row, "status": JobStatus(row["status"])})


def _stage(stage: str | None) -> str | None:
    return None if stage is None else one_line(stage, 40)
