"""Attempts: the claim, and the writes of whoever holds one.

Every write carries the claim's lease token and takes place only while the row is `running` under that token; each says
whether it did. All times are the database's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import CancelledByUserError, LeaseLostError
from domain.jobs import JOB_VERSION, MAX_ATTEMPTS, Claim, JobStatus
from domain.sources import SMALL_UPLOAD_CHARACTERS
from domain.text import JSON, one_line
from infrastructure.database.repositories.mapping import JOB_COLUMNS, WITHOUT_DATA, job_from

CANCELLED = "cancelled by user"
# The oldest due row whose owner has nothing running is the fairest, and the index finds it at once; only where there is
# none are all due rows weighed. The CTEs are materialised: a claim that the planner folds into a join may lock more
# rows than it takes. A row that another claimer holds is skipped; one that it has just committed is no longer pending
# when it is locked.
_CLAIM = text(f"""
    WITH busy AS MATERIALIZED (
        SELECT user_id, count(*) AS running FROM jobs WHERE status = 'running' GROUP BY user_id
    ), idle AS MATERIALIZED (
        SELECT due.job_id FROM jobs AS due
        WHERE due.status = 'pending' AND due.run_after <= statement_timestamp() AND due.version <= {JOB_VERSION}
            AND due.user_id NOT IN (SELECT user_id FROM busy)
            AND NOT EXISTS (SELECT 1 FROM fleet_controls WHERE name = 'paused')
        ORDER BY due.created_at, due.job_id
        LIMIT 1
        FOR UPDATE OF due SKIP LOCKED
    ), weighed AS MATERIALIZED (
        SELECT due.job_id FROM jobs AS due LEFT JOIN busy ON busy.user_id = due.user_id
        WHERE due.status = 'pending' AND due.run_after <= statement_timestamp() AND due.version <= {JOB_VERSION}
            AND NOT EXISTS (SELECT 1 FROM idle)
            AND NOT EXISTS (SELECT 1 FROM fleet_controls WHERE name = 'paused')
        ORDER BY coalesce(busy.running, 0), due.created_at, due.job_id
        LIMIT 1
        FOR UPDATE OF due SKIP LOCKED
    )
    UPDATE jobs
    SET status = 'running', attempt = jobs.attempt + 1, lease_token = gen_random_uuid(),
        lease_expires_at = statement_timestamp() + make_interval(secs => :lease), started_at = statement_timestamp(),
        finished_at = NULL, error_message = NULL, progress = 0, stage = NULL
    FROM (SELECT job_id FROM idle UNION ALL SELECT job_id FROM weighed) AS fairest
    WHERE jobs.job_id = fairest.job_id
    RETURNING jobs.lease_token, {JOB_COLUMNS}, CASE WHEN octet_length(jobs.source_metadata ->> 'file_data')
        <= {SMALL_UPLOAD_CHARACTERS} THEN jobs.source_metadata ->> 'file_data' END AS file_data
""")  # nosec B608 # noqa: S608 - no input in it

_FENCE = "job_id = :job_id AND lease_token = :token AND status = 'running'"

_FILE_DATA = text(f"SELECT left(source_metadata ->> 'file_data', :most) AS data FROM jobs WHERE {_FENCE}")  # nosec B608 # noqa: S608 - no input in it

_RENEW = text("""
    UPDATE jobs
    SET lease_expires_at = statement_timestamp() + make_interval(secs => :lease),
        stage = coalesce(held.stage, jobs.stage), progress = held.progress
    FROM unnest(
        CAST(:ids AS varchar[]), CAST(:tokens AS uuid[]), CAST(:stages AS varchar[]), CAST(:progresses AS smallint[])
    ) AS held (job_id, token, stage, progress)
    WHERE jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = 'running'
    RETURNING jobs.job_id, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
""")

_CHECK = text("""
    SELECT jobs.job_id, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
    FROM jobs JOIN unnest(CAST(:ids AS varchar[]), CAST(:tokens AS uuid[])) AS held (job_id, token)
        ON jobs.job_id = held.job_id AND jobs.lease_token = held.token AND jobs.status = 'running'
""")

_COMPLETE = text(f"""
    UPDATE jobs
    SET status = 'completed', result_run_id = :run_id, error_message = NULL, progress = 100, stage = NULL,
        finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        source_metadata = {WITHOUT_DATA}
    WHERE {_FENCE} AND cancel_requested_at IS NULL
""")  # nosec B608 # noqa: S608 - no input in it

_IS_CANCELLED = text(f"SELECT 1 FROM jobs WHERE {_FENCE} AND cancel_requested_at IS NOT NULL")  # nosec B608 # noqa: S608 - no input in it

ERROR_ENTRY = """
    jsonb_build_array(jsonb_build_object(
        'attempt', jobs.attempt, 'at', statement_timestamp(),
        'kind', CAST(:kind AS varchar), 'message', CAST(:message AS varchar)))
"""

_ASKED = "cancel_requested_at IS NOT NULL"

_FAIL = text(f"""
    UPDATE jobs
    SET status = 'failed', attempt_errors = attempt_errors || {ERROR_ENTRY}, stage = NULL,
        error_message = CASE WHEN {_ASKED} THEN '{CANCELLED}' ELSE :message END,
        finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        source_metadata = CASE WHEN :drop_data OR {_ASKED} THEN {WITHOUT_DATA} ELSE source_metadata END
    WHERE {_FENCE}
""")  # nosec B608 # noqa: S608 - no input in it


def release(*, reason: str, counts: bool) -> str:
    """The SET clause that takes a running job from its worker: pending again and due after `:delay` seconds, or failed.

    It fails where its owner has asked for it to be cancelled and, if this counts as a failed attempt, where that was
    the last one; `reason` is the SQL of the error message then. A failed ring is one that the sweep repeats.
    """
    cancelled = "jobs.cancel_requested_at IS NOT NULL"
    last = f"jsonb_array_length(jobs.attempt_errors) + 1 >= {MAX_ATTEMPTS}" if counts else "false"
    ended = f"({cancelled} OR {last})"
    due = "statement_timestamp() + make_interval(secs => :delay)"
    return f"""
        status = CASE WHEN {ended} THEN 'failed' ELSE 'pending' END,
        error_message = CASE WHEN {cancelled} THEN '{CANCELLED}' WHEN {last} THEN {reason} END,
        finished_at = CASE WHEN {ended} THEN statement_timestamp() END,
        attempt_errors = jobs.attempt_errors {f"|| {ERROR_ENTRY}" if counts else ""},
        source_metadata = CASE WHEN {cancelled} THEN {WITHOUT_DATA} ELSE jobs.source_metadata END,
        run_after = CASE WHEN {ended} THEN jobs.run_after ELSE {due} END,
        ring = jobs.ring + 1, rung_at = {due},
        lease_token = NULL, lease_expires_at = NULL, progress = 0, stage = NULL
    """


_RELEASED = "RETURNING jobs.job_id, jobs.status, jobs.ring, jobs.error_message"

_RETRY_LATER = text(f"""
    UPDATE jobs SET {release(reason="CAST(:message AS varchar)", counts=True)} WHERE {_FENCE} {_RELEASED}
""")  # nosec B608 # noqa: S608 - no input in it

_HAND_BACK = text(f"""
    UPDATE jobs SET {release(reason="NULL", counts=False)} WHERE {_FENCE} {_RELEASED}
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """A claim that its holder wants to keep, and how far the work has come (percent; no stage leaves it as it is)."""

    job_id: str
    token: UUID
    stage: str | None = None
    progress: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A job that was taken from its worker: `pending`, and to be rung with `ring`, or `failed`."""

    job_id: str
    status: JobStatus
    ring: int
    error_message: str | None


def released_from(row: RowMapping) -> Released:
    """From a row of job_id, status, ring and error_message."""
    return Released(**{**row, "status": JobStatus(row["status"])})


class AttemptRepository:
    """What a worker does with jobs, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim_next(self, lease_seconds: float) -> Claim | None:
        """The fairest due job (least running jobs of its owner first, then oldest), now ours; None if not.

        Nothing is claimed while the fleet is paused, and no job of a newer version than this program knows. Two
        claimers never get the same one, and neither waits for the other.
        """
        row = (await self._connection.execute(_CLAIM, {"lease": lease_seconds})).mappings().one_or_none()
        if row is None:
            return None
        values = dict(row)
        token, data = values.pop("lease_token"), values.pop("file_data")
        return Claim(job=job_from(values), lease_token=token, file_data=data)

    async def file_data(self, job_id: str, token: UUID, *, most: int) -> str:
        """The upload, in base64, cut after `most` characters. Raises LeaseLostError; one that is not there is empty."""
        values = {"job_id": job_id, "token": token, "most": most}
        row = (await self._connection.execute(_FILE_DATA, values)).one_or_none()
        if row is None:
            raise LeaseLostError("the lease was lost before the upload was read")
        return str(row.data or "")

    async def renew_leases(self, states: Sequence[LeaseState], lease_seconds: float) -> dict[str, bool]:
        """Renew what is still ours, and note how far it is: job id to whether its cancellation was asked for.

        A job that is missing in the answer is no longer ours.
        """
        progress = {"stages": [_stage(state.stage) for state in states], "progresses": [s.progress for s in states]}
        return await self._leases(_RENEW, states, {"lease": lease_seconds, **progress})

    async def check_leases(self, states: Sequence[LeaseState]) -> dict[str, bool]:
        """The same answer, nothing renewed and nothing written."""
        return await self._leases(_CHECK, states, {})

    async def _leases(
        self, statement: TextClause, states: Sequence[LeaseState], values: Mapping[str, JSON]
    ) -> dict[str, bool]:
        held = {"ids": [state.job_id for state in states], "tokens": [state.token for state in states]}
        rows = await self._connection.execute(statement, {**held, **values})
        return {row.job_id: row.cancel_requested for row in rows}

    async def complete(self, job_id: str, token: UUID, run_id: UUID) -> bool:
        """`completed` with this run; False, and nothing written, where the lease was lost.

        Raises CancelledByUserError where the owner has asked for that meanwhile: then the job must end so, and the
        unit of work that holds the run be rolled back.
        """
        fence = {"job_id": job_id, "token": token}
        if (await self._connection.execute(_COMPLETE, {**fence, "run_id": run_id})).rowcount:
            return True
        if await self._connection.scalar(_IS_CANCELLED, fence):
            raise CancelledByUserError(CANCELLED)
        return False

    async def fail(self, job_id: str, token: UUID, kind: str, message: str, *, drop_data: bool = False) -> bool:
        """`failed` for good, the attempt noted; `drop_data` forgets the upload, which else stays for a retry.

        A job whose owner has asked for its cancellation is cancelled, whatever has failed.
        """
        values = {"kind": kind, "message": one_line(message), "drop_data": drop_data}
        done = await self._connection.execute(_FAIL, {"job_id": job_id, "token": token, **values})
        return done.rowcount > 0

    async def retry_later(
        self, job_id: str, token: UUID, kind: str, message: str, *, delay_seconds: float
    ) -> Released | None:
        """Note a failed attempt: `pending` again after the delay, or `failed` where it was the last or is cancelled.

        None where the lease was lost.
        """
        values = {"kind": kind, "message": one_line(message), "delay": delay_seconds}
        return await self._release(_RETRY_LATER, job_id, token, values)

    async def hand_back(self, job_id: str, token: UUID) -> int | None:
        """`pending` again at once, no failed attempt noted: the number to ring with.

        None where the lease was lost, or the job has ended because its cancellation was asked for.
        """
        released = await self._release(_HAND_BACK, job_id, token, {"delay": 0.0})
        return None if released is None or released.status.finished else released.ring

    async def _release(
        self, statement: TextClause, job_id: str, token: UUID, values: Mapping[str, JSON]
    ) -> Released | None:
        rows = await self._connection.execute(statement, {"job_id": job_id, "token": token, **values})
        row = rows.mappings().one_or_none()
        return None if row is None else released_from(row)


def _stage(stage: str | None) -> str | None:
    return None if stage is None else one_line(stage, 40)
