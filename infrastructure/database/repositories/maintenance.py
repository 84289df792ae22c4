"""Maintenance of all jobs: rescue, lost wake-ups, cleanup, statistics, fleet controls. Times are the database's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JOB_VERSION, JobStatus, StatusCount, Transition
from domain.sources import SourceKind
from domain.text import JSON
from infrastructure.database.repositories.attempts import ReleasedJob, dropping_uploads, release
from infrastructure.database.repositories.mapping import FINISHED

WORKER_LOST = "worker lost"
STALE = "stale"
_PENDING, _FAIL, _DROP, _REQUEUE = Transition.CLAIM.before, Transition.FAIL, Transition.DROP, Transition.REQUEUE

_OWNER_AND_SOURCE = """
        jobs.user_id, jobs.attempt, jobs.source_kind,
        left(jobs.source_metadata ->> 'git_repo_url', 300) AS git_repo_url,
        right(jobs.source_metadata ->> 'upload_filename', 10) AS upload_filename
"""

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
        RETURNING jobs.job_id, jobs.status, jobs.error_message, jobs.worker_id, {_OWNER_AND_SOURCE},
            left(jobs.source_metadata ->> 'traceparent', 60) AS traceparent,
            jobs.started_at, statement_timestamp() AS rescued_at
    """)  # nosec B608 # noqa: S608 - no input in it
)

_DELETE_FINISHED = text(f"""
    DELETE FROM jobs
    WHERE status IN {FINISHED} AND updated_at < statement_timestamp() - make_interval(secs => :retention)
""")  # nosec B608 # noqa: S608 - no input in it

_FAIL_STALE_RUNNING = text(f"""
    UPDATE jobs
    SET status = '{_FAIL.after}', error_message = '{STALE}', finished_at = statement_timestamp(), stage = NULL,
        lease_token = NULL, lease_expires_at = NULL
    WHERE status = '{_FAIL.before}'
        AND coalesce(started_at, created_at) < statement_timestamp() - make_interval(secs => :threshold)
        AND (lease_expires_at IS NULL OR lease_expires_at < statement_timestamp())
    RETURNING jobs.job_id, {_OWNER_AND_SOURCE}
""")  # nosec B608 # noqa: S608 - no input in it

# The age counts from when the job became due, not from its creation: a retried job starts anew.
_FAIL_STALE_PENDING = text(f"""
    UPDATE jobs SET status = '{_DROP.after}', error_message = '{STALE}', finished_at = statement_timestamp()
    WHERE status = '{_DROP.before}' AND run_after < statement_timestamp() - make_interval(secs => :max_age)
    RETURNING jobs.job_id, {_OWNER_AND_SOURCE}
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE_OLD_USAGE = text("DELETE FROM daily_usage WHERE day < (statement_timestamp() AT TIME ZONE 'UTC')::date - 7")
_DELETE_OLD_SLOTS = text("DELETE FROM cron_slots WHERE slot < statement_timestamp() - interval '7 days'")

_STATISTICS = text("""
    SELECT status, count(*) AS jobs, extract(epoch FROM statement_timestamp() - min(created_at))::float8 AS oldest
    FROM jobs GROUP BY status
""")

_COUNT_NEWER_VERSION = text(f"SELECT count(*) FROM jobs WHERE status = '{_PENDING}' AND version > {JOB_VERSION}")  # nosec B608 # noqa: S608 - no input in it

_SET_CONTROL = text("INSERT INTO fleet_controls (name) VALUES (:name) ON CONFLICT DO NOTHING")
_CLEAR_CONTROL = text("DELETE FROM fleet_controls WHERE name = :name")
_IS_CONTROL_SET = text("SELECT EXISTS (SELECT 1 FROM fleet_controls WHERE name = :name)")

_TAKE_SLOT = text("""
    INSERT INTO cron_slots (name, slot)
    VALUES (:name, to_timestamp(floor(extract(epoch FROM statement_timestamp()) / :period) * :period))
    ON CONFLICT DO NOTHING
    RETURNING slot
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that maintenance ended: its owner, its last attempt, and the metadata that identify its source."""

    job_id: str
    user_id: UUID
    attempt: int
    source_kind: SourceKind
    source: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupCounts:
    """The result of one cleanup: numbers of rows deleted and of rows that became `failed: stale`, listed in `stale`."""

    deleted: int
    stale_running: int
    stale_pending: int
    stale: tuple[EndedJob, ...] = field(default=(), compare=False, repr=False)


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

    async def cleanup(self, *, retention: float, stale: float, pending_max_age: float) -> CleanupCounts:
        """Delete jobs that finished more than `retention` seconds ago, and fail stale ones. All ages are in seconds.

        A running job is stale `stale` seconds after its start if it has no valid lease, a pending one
        `pending_max_age` seconds after it became due. Usage and cron slots older than a week are deleted.
        """
        deleted = await self._connection.execute(_DELETE_FINISHED, {"retention": retention})
        running = await self._connection.execute(_FAIL_STALE_RUNNING, {"threshold": stale})
        pending = await self._connection.execute(_FAIL_STALE_PENDING, {"max_age": pending_max_age})
        await self._connection.execute(_DELETE_OLD_USAGE)
        await self._connection.execute(_DELETE_OLD_SLOTS)
        ended = [[_ended_from_row(row) for row in rows.mappings()] for rows in (running, pending)]
        return CleanupCounts(
            deleted=deleted.rowcount,
            stale_running=len(ended[0]),
            stale_pending=len(ended[1]),
            stale=(*ended[0], *ended[1]),
        )

    async def statistics(self) -> dict[JobStatus, StatusCount]:
        """Return the number and the oldest age of jobs in every state, 0 where there are none."""
        counts = {status: StatusCount(jobs=0, oldest_seconds=0.0) for status in JobStatus}
        for row in await self._connection.execute(_STATISTICS):
            counts[JobStatus(row.status)] = StatusCount(jobs=row.jobs, oldest_seconds=row.oldest)
        return counts

    async def count_newer_version(self) -> int:
        """Return the number of pending jobs that only a newer program can run."""
        return int(await self._connection.scalar(_COUNT_NEWER_VERSION) or 0)

    async def set_control(self, name: str, *, on: bool) -> bool:
        """Set or clear a control of the whole fleet. Returns whether that changed anything."""
        statement = _SET_CONTROL if on else _CLEAR_CONTROL
        return (await self._connection.execute(statement, {"name": name})).rowcount > 0

    async def is_control_set(self, name: str) -> bool:
        """Return whether a control of the fleet is set."""
        return bool(await self._connection.scalar(_IS_CONTROL_SET, {"name": name}))

    async def take_slot(self, name: str, period_seconds: int) -> datetime | None:
        """Take the current slot of a periodic task for the whole fleet. Returns its start, or None if it is taken.

        Slots start at multiples of the period since 1970 (UTC), by the database's clock.
        """
        slot: datetime | None = await self._connection.scalar(_TAKE_SLOT, {"name": name, "period": period_seconds})
        return slot


def _ended_from_row(row: RowMapping) -> EndedJob:
    return EndedJob(
        job_id=row["job_id"],
        user_id=row["user_id"],
        attempt=row["attempt"],
        source_kind=SourceKind(row["source_kind"]),
        source={name: row[name] for name in ("git_repo_url", "upload_filename")},
    )


def _rescued_from_row(row: RowMapping) -> RescuedJob:
    return RescuedJob(
        job_id=row["job_id"],
        status=JobStatus(row["status"]),
        worker_id=row["worker_id"],
        error_message=row["error_message"],
        user_id=row["user_id"],
        attempt=row["attempt"],
        source_kind=SourceKind(row["source_kind"]),
        source={name: row[name] for name in ("git_repo_url", "upload_filename", "traceparent")},
        started_at=row["started_at"],
        rescued_at=row["rescued_at"],
    )
