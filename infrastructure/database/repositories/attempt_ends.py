"""The ends of attempts, many in one transaction: a run and `completed`, or `failed`.

Every end carries its claim's lease token and is written only while the row is `running` under that token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import CancelledByUserError, TokenLostError
from domain.jobs import Claim
from domain.options import evaluation_id_of
from domain.text import JSON, one_line
from infrastructure.database.access.usage import refund
from infrastructure.database.engine import DriverConnection, fetch
from infrastructure.database.evaluations.ending import end_members
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.runs import (
    INSERT_INSIGHTS,
    INSERT_RUNS,
    LOCK_BASELINES,
    SerializedRun,
    run_columns,
)
from infrastructure.failpoints import failpoint

# One statement writes a whole batch. `locked` locks the rows; `written` is what becomes of those whose lease is held: a
# run, or an error. An upload stays with a failed job, so that it can be retried; a cancelled job drops it.
_END = f"""
    WITH owners AS MATERIALIZED (
        SELECT id FROM users WHERE id = ANY(CAST(:owner_ids AS uuid[])) ORDER BY id FOR KEY SHARE
    ), baselines AS MATERIALIZED (
        SELECT run_id FROM ({LOCK_BASELINES}) AS locked WHERE (SELECT count(*) FROM owners) >= 0
    ), ends AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:job_ids AS varchar[]), CAST(:tokens AS uuid[]), CAST(:run_ids AS uuid[]),
            CAST(:kinds AS varchar[]), CAST(:messages AS varchar[])) AS ends (job_id, token, new_run_id, kind, message)
    ), locked AS MATERIALIZED (
        SELECT ends.*, jobs.status = 'running' AND jobs.lease_token = ends.token AS held, jobs.status,
            jobs.cancel_requested_at IS NOT NULL AS cancelled, jobs.result_run_id, jobs.attempt,
            jobs.attempt_errors -> -1 ->> 'attempt' AS failed_attempt {{owner}}
        FROM jobs JOIN ends ON jobs.job_id = ends.job_id
        WHERE (SELECT count(*) FROM baselines) >= 0
        ORDER BY jobs.job_id FOR UPDATE OF jobs
    ), written AS MATERIALIZED (
        SELECT job_id, CASE WHEN NOT cancelled THEN new_run_id END AS run_id,
            CASE WHEN cancelled THEN '{CancelledByUserError.__name__}' ELSE kind END AS kind,
            CASE WHEN cancelled THEN '{CANCELLED}' ELSE message END AS message {{refunded}}
        FROM locked WHERE held
    ), inserted AS (
        {INSERT_RUNS} WHERE new.run_id IN (SELECT run_id FROM written)
    ), explained AS (
        {INSERT_INSIGHTS} WHERE new.run_id IN (SELECT run_id FROM written)
    ), dropped AS (
        DELETE FROM job_uploads USING written
        WHERE job_uploads.job_id = written.job_id AND (run_id IS NOT NULL OR message = '{CANCELLED}')
    ), updated AS (
        UPDATE jobs
        SET status = CASE WHEN run_id IS NULL THEN 'failed' ELSE 'completed' END,
            result_run_id = coalesce(run_id, jobs.result_run_id), error_message = message,
            progress = CASE WHEN run_id IS NULL THEN jobs.progress ELSE 100 END, stage = NULL,
            finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
            attempt_errors = CASE WHEN run_id IS NOT NULL THEN jobs.attempt_errors
                ELSE jobs.attempt_errors || jsonb_build_array(jsonb_build_object('attempt', jobs.attempt,
                    'at', statement_timestamp(), 'kind', written.kind, 'message', message)) END,
            source_metadata = CASE WHEN jobs.source_metadata ? 'file_data'
                AND (run_id IS NOT NULL OR message = '{CANCELLED}')
                THEN jobs.source_metadata - 'file_data' ELSE jobs.source_metadata END {{set_refunded}}
        FROM written WHERE jobs.job_id = written.job_id
    ) {{refund}}
    SELECT token, held, status, cancelled, result_run_id, attempt, failed_attempt FROM locked
"""  # nosec B608 # noqa: S608 - no input in it

_PLAIN_END = text(_END.format(owner="", refunded="", set_refunded="", refund=""))
_REFUNDING_END = text(
    _END.format(
        owner=", jobs.user_id, jobs.created_at, jobs.refunded_at",
        refunded=f"""
            , user_id, created_at, refunded_at IS NULL
                AND new_run_id IS NULL AND NOT cancelled AND kind = '{TokenLostError.__name__}' AS refunded
        """,
        set_refunded="""
            , refunded_at = CASE WHEN written.refunded THEN statement_timestamp() ELSE jobs.refunded_at END
        """,
        refund=f", {refund('written')}",
    )
)
"""For ends with a job that failed through our fault. The others do not pay for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended: with a run, or with the kind of a fault and one line about it."""

    claim: Claim
    run: SerializedRun | None = None
    kind: str = ""
    message: str = ""

    @property
    def size(self) -> int:
        """Characters of the run's documents."""
        return 0 if self.run is None else self.run.size

    @property
    def evaluation_id(self) -> UUID | None:
        """The evaluation that the job is a member of."""
        options = self.claim.job.options
        return evaluation_id_of(options) if options else None


class EndResult(StrEnum):
    """What became of an attempt's end."""

    WRITTEN = "written"
    CANCELLED = "cancelled"
    """Its owner had asked for the cancellation: the job ended so, whatever the attempt brought."""

    LOST = "lost"
    """The lease was lost, or the job deleted: nothing was written."""


class AttemptEndRepository:
    """Ends attempts, within one unit of work, or in a transaction of the driver where none is of an evaluation."""

    def __init__(self, connection: AsyncConnection | DriverConnection) -> None:
        self._connection = connection

    async def end(self, ends: Sequence[AttemptEnd]) -> dict[UUID, EndResult]:
        """Write the ends, each if its lease is held; return by lease token what became of it.

        An end that has been written already (the answer to its commit was lost) counts as written.
        """
        runs = [end.run for end in ends if end.run is not None]
        refunds = any(end.kind == TokenLostError.__name__ for end in ends)
        statement = _REFUNDING_END if refunds else _PLAIN_END
        rows = await fetch(self._connection, statement, {**_columns(ends), **run_columns(runs)})
        if runs:
            failpoint("before-commit")
        found = {row["token"]: row for row in rows}
        if any(end.evaluation_id is not None for end in ends):
            assert isinstance(self._connection, AsyncConnection)  # nosec B101 # noqa: S101 - the caller sees to it
            await end_members(self._connection, (end.evaluation_id for end in ends))
        return {end.claim.lease_token: _judge(end, found.get(end.claim.lease_token)) for end in ends}


def _columns(ends: Sequence[AttemptEnd]) -> dict[str, list[JSON]]:
    return {
        "owner_ids": list({end.claim.job.user_id for end in ends}),
        "job_ids": [end.claim.job.job_id for end in ends],
        "tokens": [end.claim.lease_token for end in ends],
        "run_ids": [None if end.run is None else end.run.run_id for end in ends],
        "kinds": [end.kind for end in ends],
        "messages": [None if end.run is not None else one_line(end.message) for end in ends],
    }


def _judge(end: AttemptEnd, row: Mapping[str, JSON] | None) -> EndResult:
    if row is None:
        return EndResult.LOST
    if row["held"]:
        return EndResult.CANCELLED if row["cancelled"] else EndResult.WRITTEN
    if end.run is not None:
        written = row["result_run_id"] == end.run.run_id
    else:
        attempt = end.claim.job.attempt
        written = row["status"] == "failed" and row["attempt"] == attempt and row["failed_attempt"] == str(attempt)
    return EndResult.WRITTEN if written else EndResult.LOST
