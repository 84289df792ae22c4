"""The end of an evaluation, in the transaction that ends its last member, and its reopening.

Each transaction that changes a member's status locks the evaluation afterwards, and only then looks at all members: of
two that end the last two members at the same time, the second one waits, and sees what the first one has written. A job
that is of no evaluation costs nothing of this.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.evaluations.evaluation import EvaluationStatus
from domain.jobs import UNFINISHED_STATUSES
from infrastructure.database.evaluations.members import members_to_json, read_members
from infrastructure.failpoints import failpoint
from infrastructure.json_codec import dumps

ABANDONED_SECONDS = 3_600
"""An open evaluation that did not change for so long is looked at by cleanup."""

_UNFINISHED_JOBS = "('{}', '{}')".format(*UNFINISHED_STATUSES)
_OPEN = f"('{EvaluationStatus.PENDING}', '{EvaluationStatus.RUNNING}')"
_ENDED = f"('{EvaluationStatus.COMPLETED}', '{EvaluationStatus.FAILED}')"
_HAS_UNFINISHED_MEMBERS = f"""
    EXISTS (
        SELECT 1 FROM jsonb_array_elements(evaluation.config -> 'members') AS member, LATERAL (
            SELECT 1 FROM jobs WHERE jobs.job_id = member ->> 'job_id' AND jobs.status IN {_UNFINISHED_JOBS}
        ) AS unfinished)
"""  # nosec B608 # noqa: S608 - no input in it

_LOCK = text(f"""
    SELECT id FROM evaluation_runs
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN {_OPEN} ORDER BY id FOR UPDATE
""")  # nosec B608 # noqa: S608 - no input in it
_STARTED = text(f"""
    WITH open AS MATERIALIZED (
        SELECT id, status FROM evaluation_runs AS evaluation
        WHERE id = ANY(CAST(:ids AS uuid[])) AND {_HAS_UNFINISHED_MEMBERS}
    ), started AS (
        UPDATE evaluation_runs
        SET status = '{EvaluationStatus.RUNNING}', updated_at = statement_timestamp()
        FROM open WHERE evaluation_runs.id = open.id AND open.status = '{EvaluationStatus.PENDING}'
    )
    SELECT id FROM open
""")  # nosec B608 # noqa: S608 - no input in it
_END = text("""
    UPDATE evaluation_runs
    SET status = :status, metrics = CAST(:metrics AS jsonb), finished_at = statement_timestamp(),
        updated_at = statement_timestamp()
    WHERE id = :id
""")
_REOPEN = text(f"""
    WITH ended AS MATERIALIZED (
        SELECT id FROM evaluation_runs
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN {_ENDED} ORDER BY id FOR UPDATE
    )
    UPDATE evaluation_runs
    SET status = '{EvaluationStatus.RUNNING}', metrics = '{{}}', finished_at = NULL, updated_at = statement_timestamp()
    FROM ended WHERE evaluation_runs.id = ended.id
""")  # nosec B608 # noqa: S608 - no input in it
_ABANDONED = text(f"""
    SELECT id FROM evaluation_runs AS evaluation
    WHERE status IN {_OPEN} AND updated_at < statement_timestamp() - make_interval(secs => :age)
        AND NOT {_HAS_UNFINISHED_MEMBERS}
    ORDER BY id LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it


async def end_members(connection: AsyncConnection, evaluation_ids: Iterable[UUID | None]) -> None:
    """End the evaluations whose members have all ended, after the change of a member's status in this transaction.

    None stands for a job of no evaluation. An id that names no open evaluation is ignored: it was deleted, or another
    program wrote it.
    """
    wanted = {evaluation_id for evaluation_id in evaluation_ids if evaluation_id is not None}
    if not wanted:
        return
    locked = (await connection.scalars(_LOCK, {"ids": sorted(wanted)})).all()
    if not locked:
        return
    # This statement's snapshot is taken with the locks held.
    still_open = set((await connection.scalars(_STARTED, {"ids": locked})).all())
    for evaluation_id in locked:
        if evaluation_id not in still_open:
            await _end(connection, evaluation_id)


async def _end(connection: AsyncConnection, evaluation_id: UUID) -> None:
    members = await read_members(connection, evaluation_id)
    has_results = any(member.outcome.run_id is not None for member in members)
    status = EvaluationStatus.COMPLETED if has_results else EvaluationStatus.FAILED
    document = dumps(members_to_json(members)).decode()
    await connection.execute(_END, {"id": evaluation_id, "status": str(status), "metrics": document})
    failpoint("evaluation-ended")


async def reopen(connection: AsyncConnection, evaluation_ids: Iterable[UUID | None]) -> None:
    """Reopen the evaluations that have ended, after a member was retried in this transaction."""
    wanted = {evaluation_id for evaluation_id in evaluation_ids if evaluation_id is not None}
    if wanted:
        await connection.execute(_REOPEN, {"ids": sorted(wanted)})


async def end_abandoned(connection: AsyncConnection, limit: int) -> int:
    """End up to `limit` open evaluations that no member will end, and return their number.

    Those are the ones whose last open members another program has ended or deleted.
    """
    found = (await connection.scalars(_ABANDONED, {"age": ABANDONED_SECONDS, "limit": limit})).all()
    await end_members(connection, found)
    return len(found)
