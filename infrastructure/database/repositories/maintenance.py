"""Rescue of jobs whose worker was lost, and controls of the whole fleet. Times are the database's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JobStatus, Transition
from domain.sources import SourceKind
from domain.text import JSON
from infrastructure.database.repositories.attempts import ReleasedJob, dropping_uploads, release
from infrastructure.database.repositories.mapping import OWNER_AND_SOURCE, SOURCE_FIELDS

WORKER_LOST = "worker lost"
_REQUEUE = Transition.REQUEUE

_RESCUE = text(
    dropping_uploads(f"""
        UPDATE jobs SET {release(reason=f"'{WORKER_LOST}'", counts=True)}
        FROM (
            SELECT job_id FROM jobs
            WHERE status = '{_REQUEUE.before}' AND lease_expires_at < statement_timestamp()
            ORDER BY lease_expires_at LIMIT :limit
            FOR UPDATE SKIP LOCKED
        ) AS lost
        WHERE jobs.job_id = lost.job_id
        RETURNING jobs.job_id, jobs.status, jobs.error_message, jobs.worker_id, {OWNER_AND_SOURCE},
            left(jobs.source_metadata ->> 'traceparent', 60) AS traceparent,
            jobs.started_at, statement_timestamp() AS rescued_at
    """)  # nosec B608 # noqa: S608 - no input in it
)

_SET_CONTROL = text("INSERT INTO fleet_controls (name) VALUES (:name) ON CONFLICT DO NOTHING")
_CLEAR_CONTROL = text("DELETE FROM fleet_controls WHERE name = :name")
_IS_CONTROL_SET = text("SELECT EXISTS (SELECT 1 FROM fleet_controls WHERE name = :name)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RescuedJob(ReleasedJob):
    """A job whose worker was lost: its owner, source metadata, worker, and the lost attempt and its start."""

    user_id: UUID
    attempt: int
    source_kind: SourceKind
    source: Mapping[str, JSON]
    worker_id: str | None
    started_at: datetime | None
    rescued_at: datetime


class MaintenanceRepository:
    """What every replica does for all jobs, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rescue_expired(self, limit: int) -> list[RescuedJob]:
        """Take up to `limit` jobs with an expired lease from their workers, as failed attempts of kind `worker lost`.

        The caller enqueues those that are pending again. Two concurrent rescues never take the same job.
        """
        message = "the worker that ran it stopped answering"
        values = {"limit": limit, "delay": 0.0, "kind": WORKER_LOST, "message": message}
        return [_rescued_from_row(row) for row in (await self._connection.execute(_RESCUE, values)).mappings()]

    async def set_control(self, name: str, *, on: bool) -> bool:
        """Set or clear a control of the whole fleet. Returns whether that changed anything."""
        statement = _SET_CONTROL if on else _CLEAR_CONTROL
        return (await self._connection.execute(statement, {"name": name})).rowcount > 0

    async def is_control_set(self, name: str) -> bool:
        """Return whether a control of the fleet is set."""
        return bool(await self._connection.scalar(_IS_CONTROL_SET, {"name": name}))


def _rescued_from_row(row: RowMapping) -> RescuedJob:
    return RescuedJob(
        job_id=row["job_id"],
        status=JobStatus(row["status"]),
        worker_id=row["worker_id"],
        error_message=row["error_message"],
        user_id=row["user_id"],
        attempt=row["attempt"],
        source_kind=SourceKind(row["source_kind"]),
        source={name: row[name] for name in (*SOURCE_FIELDS, "traceparent")},
        started_at=row["started_at"],
        rescued_at=row["rescued_at"],
    )
