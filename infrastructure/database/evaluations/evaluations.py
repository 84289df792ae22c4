"""Evaluations for their owners: insert, read, list, delete. Callers check who the owner is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import InvalidInputError, NotFoundError
from domain.evaluations.evaluation import (
    Declaration,
    Evaluation,
    EvaluationCursor,
    EvaluationStatus,
    EvaluationSummary,
)
from domain.text import one_line
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.evaluations.members import members_from_json, read_members
from infrastructure.json_codec import dumps

_HEXADECIMAL = re.compile("[0-9a-f]{1,32}")
_ENDED = f"('{EvaluationStatus.COMPLETED}', '{EvaluationStatus.FAILED}')"
_SUMMARY = """
    id, user_id, name, description, model_name, dataset_name, status, created_at, updated_at, finished_at,
    jsonb_array_length(config -> 'members') AS members
"""


def _entries(source: str, action: Action, details: str) -> str:
    owner, resource = "user_id", "CAST(id AS text)"
    return insert_entries(source, action, Resource.EVALUATION, user=owner, resource=resource, details=details)


_INSERT = text(f"""
    WITH inserted AS (
        INSERT INTO evaluation_runs (id, user_id, name, description, model_name, dataset_name, config)
        VALUES (:id, :user_id, :name, :description, :model_name, :dataset_name, CAST(:config AS jsonb))
        RETURNING id, user_id, jsonb_array_length(config -> 'members') AS members
    )
    {_entries("inserted", Action.SUBMIT, "jsonb_build_object('members', members)")}
""")  # nosec B608 # noqa: S608 - no input in it
_GET = text(f"SELECT {_SUMMARY}, config, metrics FROM evaluation_runs WHERE id = :id")  # nosec B608 # noqa: S608 - no input in it
_SUMMARY_OF = text(f"SELECT {_SUMMARY} FROM evaluation_runs WHERE id = :id")  # nosec B608 # noqa: S608 - no input in it
# As of jobs: a bound that is not given becomes infinite, so that every plan starts at the cursor in the index.
_LIST = text(f"""
    SELECT {_SUMMARY} FROM evaluation_runs
    WHERE user_id = :user_id
        AND (created_at, id) < (coalesce(CAST(:before AS timestamptz), 'infinity'), CAST(:before_id AS uuid))
    ORDER BY created_at DESC, id DESC LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it
_FIND = text("SELECT id FROM evaluation_runs WHERE id BETWEEN :first AND :last AND user_id = :user_id LIMIT 2")
# The runs stay, as the jobs do, and no longer name the evaluation.
_DELETE = text(f"""
    WITH runs AS MATERIALIZED (
        SELECT run_id FROM analysis_runs WHERE evaluation_id = :id ORDER BY run_id FOR NO KEY UPDATE
    ), deleted AS (
        DELETE FROM evaluation_runs
        WHERE id = :id AND status IN {_ENDED} AND (SELECT count(*) FROM runs) >= 0 RETURNING id, user_id, name
    ), cleared AS (
        UPDATE analysis_runs SET evaluation_id = NULL FROM deleted WHERE analysis_runs.evaluation_id = deleted.id
    )
    {_entries("deleted", Action.DELETE_EVALUATION, "jsonb_build_object('name', name)")}
""")  # nosec B608 # noqa: S608 - no input in it
_DELETE_OF_USER = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM evaluation_runs WHERE user_id = :user_id ORDER BY id LIMIT :limit FOR UPDATE
    )
    DELETE FROM evaluation_runs USING chosen WHERE evaluation_runs.id = chosen.id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvaluation:
    """An evaluation to insert, with its members in the order of their submission."""

    evaluation_id: UUID
    user_id: UUID
    name: str
    description: str
    model_name: str | None
    dataset_name: str
    members: Sequence[Declaration]


class EvaluationRepository:
    """The table `evaluation_runs`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, new: NewEvaluation, actor: Actor) -> None:
        """Insert an evaluation, in the transaction that inserts its jobs."""
        values = {
            "id": new.evaluation_id,
            "user_id": new.user_id,
            "name": new.name,
            "description": new.description,
            "model_name": new.model_name,
            "dataset_name": new.dataset_name,
            "config": dumps({"members": [member.to_json() for member in new.members]}).decode(),
        }
        await self._connection.execute(_INSERT, {**values, **actor_values(actor)})

    async def summary(self, evaluation_id: UUID) -> EvaluationSummary:
        """Return the evaluation without its members. Raises NotFoundError."""
        row = (await self._connection.execute(_SUMMARY_OF, {"id": evaluation_id})).one_or_none()
        if row is None:
            raise NotFoundError(_none_of(evaluation_id))
        return _summary(row)

    async def get(self, evaluation_id: UUID) -> Evaluation:
        """Return the evaluation with its members: as they ended, or as they are now. Raises NotFoundError."""
        row = (await self._connection.execute(_GET, {"id": evaluation_id})).one_or_none()
        if row is None:
            raise NotFoundError(_none_of(evaluation_id))
        summary = _summary(row)
        if summary.status.finished:
            return Evaluation(summary=summary, members=members_from_json(row.config, row.metrics))
        return Evaluation(summary=summary, members=await read_members(self._connection, evaluation_id))

    async def list_evaluations(
        self, user_id: UUID, *, limit: int, after: EvaluationCursor | None = None
    ) -> list[EvaluationSummary]:
        """Return one page of the user's evaluations, newest first. All pages cost the same."""
        before, before_id = (None, UUID(int=0)) if after is None else (after.created_at, after.evaluation_id)
        values = {"user_id": user_id, "before": before, "before_id": before_id, "limit": limit}
        return [_summary(row) for row in await self._connection.execute(_LIST, values)]

    async def find_id(self, prefix: str, user_id: UUID) -> UUID:
        """Return the id of the user's only evaluation whose id begins with `prefix`, with or without dashes.

        A whole id is returned as it is. Raises NotFoundError where none matches, and InvalidInputError where several
        do.
        """
        digits = prefix.replace("-", "").lower()
        if not _HEXADECIMAL.fullmatch(digits):
            raise NotFoundError(_none_of(one_line(prefix, 80)))
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        if first == last:
            return first
        found = (await self._connection.scalars(_FIND, {"first": first, "last": last, "user_id": user_id})).all()
        if len(found) > 1:
            raise InvalidInputError(f"several evaluation ids begin with {prefix!r}; give more characters")
        if not found:
            raise NotFoundError(_none_of(prefix))
        return UUID(str(found[0]))

    async def delete(self, evaluation_id: UUID, actor: Actor) -> bool:
        """Delete the evaluation if it has ended. Its jobs and runs stay. Returns whether a row was deleted."""
        done = await self._connection.execute(_DELETE, {"id": evaluation_id, **actor_values(actor)})
        return done.rowcount > 0

    async def delete_of_user(self, user_id: UUID, limit: int) -> int:
        """Delete up to `limit` evaluations of the user. Returns their number."""
        return (await self._connection.execute(_DELETE_OF_USER, {"user_id": user_id, "limit": limit})).rowcount


def _none_of(evaluation_id: object) -> str:
    return f"there is no evaluation {evaluation_id}"


def _summary(row: Row[Any]) -> EvaluationSummary:
    return EvaluationSummary(
        evaluation_id=row.id,
        user_id=row.user_id,
        name=row.name,
        description=row.description,
        model_name=row.model_name,
        dataset_name=row.dataset_name,
        status=EvaluationStatus(row.status),
        members=row.members,
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
    )
