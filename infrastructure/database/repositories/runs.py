"""Finished analyses."""

import dataclasses
from typing import cast
from uuid import UUID

from sqlalchemy import Table, delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import LeaseLostError, NotFoundError
from domain.runs import NewRun, Run, RunCursor, RunSummary
from domain.text import JSON, safe_json
from infrastructure.database.repositories.mapping import SUMMARY_COLUMNS, run_from, summary_from
from infrastructure.database.tables import AnalysisRunRow

_TABLE = AnalysisRunRow.__table__
_SUMMARY = [_TABLE.c[name] for name in SUMMARY_COLUMNS]
_INSERT = insert(cast("Table", _TABLE)).on_conflict_do_nothing()
_DELETE_OLD = text("DELETE FROM analysis_runs WHERE created_at < statement_timestamp() - make_interval(days => :days)")


class RunRepository:
    """The table `analysis_runs`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, run: NewRun) -> None:
        """Write a run. Raises LeaseLostError where its job already has one, or its user was deleted meanwhile."""
        analysis = {field.name: getattr(run.analysis, field.name) for field in dataclasses.fields(run.analysis)}
        values = {"run_id": run.run_id, "user_id": run.user_id, "job_id": run.job_id, "duration_ms": run.duration_ms}
        values |= safe_json(dataclasses.asdict(run.origin)) | safe_json(analysis)
        try:
            done = await self._connection.execute(_INSERT, values)
        except IntegrityError as error:
            raise LeaseLostError("its user was deleted") from error
        if not done.rowcount:
            raise LeaseLostError("another attempt has finished the job")

    async def get(self, run_id: UUID) -> Run:
        """The whole run. Raises NotFoundError; whose it is, the caller checks."""
        row = (await self._connection.execute(select(_TABLE).where(_TABLE.c.run_id == run_id))).mappings().one_or_none()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return run_from(row)

    async def summary(self, run_id: UUID) -> RunSummary:
        """The run without its big documents. Raises NotFoundError."""
        row = (await self._connection.execute(select(*_SUMMARY).where(_TABLE.c.run_id == run_id))).mappings().first()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return summary_from(row)

    async def file_tree(self, run_id: UUID) -> JSON:
        """The run's file tree alone, None where it has none. Raises NotFoundError."""
        query = select(_TABLE.c.file_tree).where(_TABLE.c.run_id == run_id)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return row.file_tree

    async def list_runs(self, user_id: UUID, *, limit: int, after: RunCursor | None = None) -> list[RunSummary]:
        """One page of a user's runs, newest first, from behind `after` on; deep pages cost what the first does."""
        place = tuple_(_TABLE.c.created_at, _TABLE.c.run_id)
        query = select(*_SUMMARY).where(_TABLE.c.user_id == user_id)
        if after is not None:
            query = query.where(place < tuple_(after.created_at, after.run_id))
        query = query.order_by(_TABLE.c.created_at.desc(), _TABLE.c.run_id.desc()).limit(limit)
        return [summary_from(row) for row in (await self._connection.execute(query)).mappings()]

    async def count(self, user_id: UUID) -> int:
        """How many runs a user has."""
        query = select(func.count()).select_from(_TABLE).where(_TABLE.c.user_id == user_id)
        return int(await self._connection.scalar(query) or 0)

    async def delete(self, run_id: UUID) -> bool:
        """Delete a run, and say whether it was there. A job that names it forgets it."""
        done = await self._connection.execute(delete(AnalysisRunRow).where(_TABLE.c.run_id == run_id))
        return done.rowcount > 0

    async def delete_older_than(self, days: int) -> int:
        """Delete what is older, and say how many."""
        return (await self._connection.execute(_DELETE_OLD, {"days": days})).rowcount


def _no_run(run_id: UUID) -> str:
    return f"there is no run {run_id}"
