"""Rescue of jobs whose worker was lost, and controls of the whole fleet. Times are the database's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.jobs import JobStatus, Transition
from domain.options import evaluation_id_of
from domain.sources import SourceKind
from domain.text import JSON
from domain.workers import PAUSED
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.access.usage import REFUNDED_NOW
from infrastructure.database.evaluations.ending import end_members
from infrastructure.database.repositories.attempts import ReleasedJob, release, settled
from infrastructure.database.repositories.mapping import EVALUATION_OF, OWNER_AND_SOURCE, SOURCE_FIELDS
from infrastructure.database.server.session_lock import SERVER_START, is_held, lock_key

WORKER_LOST = "worker lost"
_OPERATOR = Actor(operator=True)
_REQUEUE = Transition.REQUEUE

_RESCUE = """
    UPDATE jobs SET {release}
    FROM (
        SELECT job_id FROM jobs
        WHERE status = '{running}' AND {lost}
        ORDER BY {order} LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS lost
    WHERE jobs.job_id = lost.job_id
    RETURNING jobs.job_id, jobs.status, jobs.error_message, jobs.worker_id, {columns},
        left(jobs.source_metadata ->> 'traceparent', 60) AS traceparent,
        jobs.started_at, statement_timestamp() AS rescued_at
"""


def _rescue(lost: str, order: str) -> TextClause:
    """Return the statement that takes jobs from their worker; `lost` is the SQL that tells whether it is lost."""
    released = release(reason=f"'{WORKER_LOST}'", counts=True, our_fault="true")
    columns = f"{OWNER_AND_SOURCE}, {EVALUATION_OF}, {REFUNDED_NOW}"
    update = _RESCUE.format(release=released, running=_REQUEUE.before, lost=lost, order=order, columns=columns)
    return text(settled(update))


_RESCUE_EXPIRED = _rescue("lease_expires_at < statement_timestamp()", "lease_expires_at")

# The worker's session has its lock shared. Taking it exclusively shows that the session is gone, and until the end of
# this statement's transaction no session of that worker can come back, and no other replica rescues the same jobs.
_RESCUE_OF_WORKER = _rescue(
    "worker_id = :worker_id AND (SELECT pg_try_advisory_xact_lock(CAST(:key AS bigint)))", "job_id"
)

# The start of the server is compared because a server that has started again has lost the locks of living workers.
_LOCKLESS = text(f"""
    SELECT silent.worker_id
    FROM unnest(CAST(:ids AS varchar[]), CAST(:keys AS bigint[]), CAST(:servers AS bigint[]))
        AS silent (worker_id, key, server)
    WHERE silent.server = {SERVER_START}
        AND EXISTS (SELECT 1 FROM jobs WHERE status = '{_REQUEUE.before}' AND jobs.worker_id = silent.worker_id)
        AND NOT {is_held("silent.key")}
""")  # nosec B608 # noqa: S608 - no input in it


def _change_pause(change: str, action: Action) -> TextClause:
    entry = insert_entries("changed", action, Resource.FLEET, user="CAST(NULL AS uuid)", resource="NULL")
    return text(f"WITH changed AS ({change} RETURNING name) {entry}")  # nosec B608 # no input in it


_PAUSE = _change_pause("INSERT INTO fleet_controls (name) VALUES (:name) ON CONFLICT DO NOTHING", Action.PAUSE)
_RESUME = _change_pause("DELETE FROM fleet_controls WHERE name = :name", Action.RESUME)
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
        values = {"limit": limit, "message": "the worker that ran it stopped answering"}
        return await self._rescue(_RESCUE_EXPIRED, values)

    async def rescue_of_worker(self, worker_id: str, limit: int) -> list[RescuedJob]:
        """Take up to `limit` jobs from a worker that is dead, whether their leases have expired or not.

        As `rescue_expired` otherwise. Takes nothing while a session holds the worker's lock, or another replica
        rescues its jobs.
        """
        message = "the worker that ran it died"
        values = {"limit": limit, "message": message, "worker_id": worker_id, "key": lock_key(worker_id)}
        return await self._rescue(_RESCUE_OF_WORKER, values)

    async def _rescue(self, statement: TextClause, values: Mapping[str, JSON]) -> list[RescuedJob]:
        found = await self._connection.execute(statement, {**values, "delay": 0.0, "kind": WORKER_LOST})
        rows = found.mappings().all()
        ended = [evaluation_id_of(row) for row in rows if JobStatus(row["status"]).finished]
        await end_members(self._connection, ended)
        return [_rescued_from_row(row) for row in rows]

    async def lockless_workers(self, servers: Mapping[str, int]) -> list[str]:
        """Return those workers that have running jobs and whose session lock no session holds.

        `servers` names for each worker the start of the server that held its lock; a worker is left out if this
        server has started at another time. Reads the workers' jobs only.
        """
        values = {
            "ids": list(servers),
            "keys": [lock_key(worker_id) for worker_id in servers],
            "servers": list(servers.values()),
        }
        return list((await self._connection.scalars(_LOCKLESS, values)).all())

    async def set_paused(self, *, paused: bool, actor: Actor = _OPERATOR) -> bool:
        """Keep all workers from claiming jobs, or let them claim again. Returns whether that changed anything."""
        values = {"name": PAUSED, **actor_values(actor)}
        return (await self._connection.execute(_PAUSE if paused else _RESUME, values)).rowcount > 0

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
