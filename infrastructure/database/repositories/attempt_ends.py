"""The ends of attempts, many in one transaction: a run and `completed`, or `failed`.

Every end carries its claim's lease token and is written only while the row is `running` under that token. Rows are
locked in order: owners first, as deleting a user does, then jobs by id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import CancelledByUserError
from domain.jobs import Claim
from domain.text import JSON, one_line
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.failpoints import failpoint

_LOCK = text("""
    WITH owners AS MATERIALIZED (
        SELECT id FROM users WHERE id = ANY(CAST(:user_ids AS uuid[])) ORDER BY id FOR KEY SHARE
    )
    SELECT held.token, jobs.status = 'running' AND jobs.lease_token = held.token AS held, jobs.status,
        jobs.cancel_requested_at IS NOT NULL AS cancelled, jobs.result_run_id, jobs.attempt,
        jobs.attempt_errors -> -1 ->> 'attempt' AS failed_attempt
    FROM jobs JOIN unnest(CAST(:job_ids AS varchar[]), CAST(:tokens AS uuid[])) AS held (job_id, token)
        ON jobs.job_id = held.job_id
    WHERE (SELECT count(*) FROM owners) >= 0
    ORDER BY jobs.job_id FOR UPDATE OF jobs
""")

_COMPLETE = text("""
    WITH uploads AS (DELETE FROM job_uploads WHERE job_id = ANY(CAST(:job_ids AS varchar[])))
    UPDATE jobs
    SET status = 'completed', result_run_id = done.run_id, error_message = NULL, progress = 100, stage = NULL,
        finished_at = statement_timestamp(), lease_token = NULL, lease_expires_at = NULL,
        source_metadata = CASE WHEN jobs.source_metadata ? 'file_data'
            THEN jobs.source_metadata - 'file_data' ELSE jobs.source_metadata END
    FROM unnest(CAST(:job_ids AS varchar[]), CAST(:run_ids AS uuid[])) AS done (job_id, run_id)
    WHERE jobs.job_id = done.job_id
""")

# An upload stays with a failed job, so that it can be retried; a cancelled job drops it.
_FAIL = text(f"""
    WITH ended AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:job_ids AS varchar[]), CAST(:kinds AS varchar[]), CAST(:messages AS varchar[]))
            AS ended (job_id, kind, message)
    ), uploads AS (
        DELETE FROM job_uploads USING ended WHERE job_uploads.job_id = ended.job_id AND message = '{CANCELLED}'
    )
    UPDATE jobs
    SET status = 'failed', error_message = ended.message, stage = NULL, finished_at = statement_timestamp(),
        attempt_errors = jobs.attempt_errors || jsonb_build_array(jsonb_build_object(
            'attempt', jobs.attempt, 'at', statement_timestamp(), 'kind', ended.kind, 'message', ended.message)),
        lease_token = NULL, lease_expires_at = NULL,
        source_metadata = CASE WHEN ended.message = '{CANCELLED}' AND jobs.source_metadata ? 'file_data'
            THEN jobs.source_metadata - 'file_data' ELSE jobs.source_metadata END
    FROM ended WHERE jobs.job_id = ended.job_id
""")  # nosec B608 # noqa: S608 - no input in it


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


class EndResult(StrEnum):
    """What became of an attempt's end."""

    WRITTEN = "written"
    CANCELLED = "cancelled"
    """Its owner had asked for the cancellation: the job ended so, whatever the attempt brought."""

    LOST = "lost"
    """The lease was lost, or the job deleted: nothing was written."""


class AttemptEndRepository:
    """Ends attempts, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def end(self, ends: Sequence[AttemptEnd]) -> dict[UUID, EndResult]:
        """Write the ends, each if its lease is held; return by lease token what became of it.

        An end that has been written already (the answer to its commit was lost) counts as written.
        """
        rows = await self._lock(ends)
        results = {end.claim.lease_token: _judge(end, rows.get(end.claim.lease_token)) for end in ends}
        held = [end for end in ends if (row := rows.get(end.claim.lease_token)) is not None and row["held"]]
        cancelled = {end.claim.lease_token for end in held if results[end.claim.lease_token] is EndResult.CANCELLED}
        completed = {
            _job_id(end): end.run for end in held if end.run is not None and end.claim.lease_token not in cancelled
        }
        if completed:
            await RunRepository(self._connection).insert_many(list(completed.values()))
            failpoint("before-commit")
            values = {"job_ids": list(completed), "run_ids": [run.run_id for run in completed.values()]}
            await self._connection.execute(_COMPLETE, values)
        failed = [end for end in held if _job_id(end) not in completed]
        if failed:
            await self._connection.execute(_FAIL, _failures(failed, cancelled))
        return results

    async def _lock(self, ends: Sequence[AttemptEnd]) -> dict[UUID, Mapping[str, JSON]]:
        values = {
            "user_ids": list({end.claim.job.user_id for end in ends}),
            "job_ids": [_job_id(end) for end in ends],
            "tokens": [end.claim.lease_token for end in ends],
        }
        rows = (await self._connection.execute(_LOCK, values)).mappings()
        return {row["token"]: dict(row) for row in rows}


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


def _failures(ends: Sequence[AttemptEnd], cancelled: Collection[UUID]) -> dict[str, JSON]:
    was_cancelled = [end.claim.lease_token in cancelled for end in ends]
    return {
        "job_ids": [_job_id(end) for end in ends],
        "kinds": [CancelledByUserError.__name__ if c else end.kind for end, c in zip(ends, was_cancelled, strict=True)],
        "messages": [CANCELLED if c else one_line(end.message) for end, c in zip(ends, was_cancelled, strict=True)],
    }


def _job_id(end: AttemptEnd) -> str:
    return end.claim.job.job_id
