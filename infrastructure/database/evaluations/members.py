"""The members of evaluations: how far each is, from its job and its run."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.evaluations.evaluation import Declaration, Member, Outcome
from domain.jobs import JobStatus
from domain.text import JSON

# Each member is found by the id of its job: in the primary key of `jobs`, and in the unique index of the runs.
_MEMBERS = text("""
    SELECT each.member, jobs.status, left(jobs.error_message, 1000) AS error,
        jobs.cancel_requested_at IS NOT NULL AS cancelled, run.run_id, run.metrics,
        run.completeness -> 'collectors' AS collectors, run.tool_versions
    FROM evaluation_runs AS evaluation
        CROSS JOIN LATERAL jsonb_array_elements(evaluation.config -> 'members') WITH ORDINALITY AS each (member, place)
        LEFT JOIN LATERAL (
            SELECT * FROM jobs WHERE jobs.job_id = each.member ->> 'job_id' AND jobs.user_id = evaluation.user_id
        ) AS jobs ON true
        LEFT JOIN LATERAL (
            SELECT * FROM analysis_runs AS run
            WHERE run.job_id = each.member ->> 'job_id' AND run.user_id = evaluation.user_id
        ) AS run ON true
    WHERE evaluation.id = :id
    ORDER BY each.place
""")


async def read_members(connection: AsyncConnection, evaluation_id: UUID) -> list[Member]:
    """Return the members of an evaluation as their jobs and runs are now, in the order of their submission."""
    rows = await connection.execute(_MEMBERS, {"id": evaluation_id})
    return [Member(declared=Declaration.from_json(row.member), outcome=_outcome(row)) for row in rows]


def _outcome(row: Row[Any]) -> Outcome:
    if row.run_id is not None:
        return Outcome.of_run(row.run_id, row.metrics, row.collectors or {}, row.tool_versions)
    if row.status is not None:
        return Outcome.of_job(JobStatus(row.status), row.error, cancelled=row.cancelled)
    return Outcome.deleted()


def members_from_json(config: Mapping[str, JSON], metrics: Mapping[str, JSON]) -> list[Member]:
    """Return the members of an evaluation that has ended, from its stored documents.

    One without a stored outcome counts as deleted: another program has written the evaluation's status.
    """
    outcomes = {job_id: Outcome.from_json(document) for job_id, document in metrics.get("members", {}).items()}
    declared = [Declaration.from_json(document) for document in config["members"]]
    return [Member(declared=each, outcome=outcomes.get(each.job_id, Outcome.deleted())) for each in declared]


def members_to_json(members: Sequence[Member]) -> dict[str, JSON]:
    """Return the document `metrics` of an evaluation that has ended."""
    return {"members": {member.declared.job_id: member.outcome.to_json() for member in members}}
