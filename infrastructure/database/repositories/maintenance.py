"""What keeps the queue alive and small: rescue, sweep, clean-up, and a look at the whole, by the database's clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JOB_VERSION, JobStatus, StatusCount
from domain.sources import SourceKind
from domain.text import JSON
from infrastructure.database.repositories.attempts import Released, release

WORKER_LOST = "worker lost"
STALE = "stale"

_WHOSE = """
        jobs.user_id, jobs.attempt, jobs.source_kind,
        left(jobs.source_metadata ->> 'git_repo_url', 300) AS git_repo_url,
        right(jobs.source_metadata ->> 'upload_filename', 10) AS upload_filename
"""

_RESCUE = text(f"""
    WITH lost AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE status = 'running' AND lease_expires_at < statement_timestamp()
        ORDER BY lease_expires_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET {release(reason=f"'{WORKER_LOST}'", counts=True)}
    FROM lost WHERE jobs.job_id = lost.job_id
    RETURNING jobs.job_id, jobs.status, jobs.ring, jobs.error_message, {_WHOSE},
        left(jobs.source_metadata ->> 'traceparent', 60) AS traceparent,
        jobs.started_at, statement_timestamp() AS rescued_at
""")  # nosec B608 # noqa: S608 - no input in it

_RING_UNHEARD = text(f"""
    WITH unheard AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE status = 'pending' AND run_after <= statement_timestamp() AND version <= {JOB_VERSION}
            AND (rung_at IS NULL OR rung_at < statement_timestamp() - make_interval(secs => :seconds))
        ORDER BY run_after, job_id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET ring = jobs.ring + 1, rung_at = statement_timestamp()
    FROM unheard WHERE jobs.job_id = unheard.job_id
    RETURNING jobs.job_id, jobs.ring
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE_FINISHED = text("""
    DELETE FROM jobs
    WHERE status IN ('completed', 'failed') AND updated_at < statement_timestamp() - make_interval(secs => :retention)
""")

_END_STALE = text(f"""
    UPDATE jobs
    SET status = 'failed', error_message = '{STALE}', finished_at = statement_timestamp(), stage = NULL,
        lease_token = NULL, lease_expires_at = NULL
    WHERE status = 'running'
        AND coalesce(started_at, created_at) < statement_timestamp() - make_interval(secs => :threshold)
        AND (lease_expires_at IS NULL OR lease_expires_at < statement_timestamp())
    RETURNING jobs.job_id, {_WHOSE}
""")  # nosec B608 # noqa: S608 - no input in it

# Since when it has been due, not since when it exists: a job that its owner has had retried is as good as new.
_END_PENDING = text(f"""
    UPDATE jobs SET status = 'failed', error_message = '{STALE}', finished_at = statement_timestamp()
    WHERE status = 'pending' AND run_after < statement_timestamp() - make_interval(secs => :max_age)
    RETURNING jobs.job_id, {_WHOSE}
""")  # nosec B608 # noqa: S608 - no input in it

_FORGET_USAGE = text("DELETE FROM daily_usage WHERE day < (statement_timestamp() AT TIME ZONE 'UTC')::date - 7")
_FORGET_SLOTS = text("DELETE FROM cron_slots WHERE slot < statement_timestamp() - interval '7 days'")

_STATISTICS = text("""
    SELECT status, count(*) AS jobs, extract(epoch FROM statement_timestamp() - min(created_at))::float8 AS oldest
    FROM jobs GROUP BY status
""")

_NEWER = text(f"SELECT count(*) FROM jobs WHERE status = 'pending' AND version > {JOB_VERSION}")  # nosec B608 # noqa: S608 - no input in it

_SET_CONTROL = text("INSERT INTO fleet_controls (name) VALUES (:name) ON CONFLICT DO NOTHING")
_CLEAR_CONTROL = text("DELETE FROM fleet_controls WHERE name = :name")
_IS_SET = text("SELECT EXISTS (SELECT 1 FROM fleet_controls WHERE name = :name)")

_TAKE_SLOT = text("""
    INSERT INTO cron_slots (name, slot)
    VALUES (:name, to_timestamp(floor(extract(epoch FROM statement_timestamp()) / :period) * :period))
    ON CONFLICT DO NOTHING
    RETURNING slot
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that ended without a worker: whose it is, its last attempt, and what names its source."""

    job_id: str
    user_id: UUID
    attempt: int
    source_kind: SourceKind
    source: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupCounts:
    """What one clean-up did: rows deleted, and rows that became `failed: stale`, which are `stale` themselves."""

    deleted: int
    stale_running: int
    stale_pending: int
    stale: tuple[EndedJob, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued(Released):
    """A job whose worker was lost: whose it is, which attempt that was and since when, and what names its source."""

    user_id: UUID
    attempt: int
    source_kind: SourceKind
    source: Mapping[str, JSON]
    started_at: datetime | None
    rescued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """A ring that is to sound: the job and its fresh number."""

    job_id: str
    ring: int


class UpkeepRepository:
    """What every replica does for all jobs, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rescue_expired(self, limit: int) -> list[Rescued]:
        """Take jobs whose lease ran out from their workers, as failed attempts of the kind `worker lost`.

        Those that are pending again are to be rung with the number given. Two rescuers never take the same one.
        """
        message = "the worker that ran it stopped answering"
        values = {"limit": limit, "delay": 0.0, "kind": WORKER_LOST, "message": message}
        return [_rescued_from(row) for row in (await self._connection.execute(_RESCUE, values)).mappings()]

    async def ring_unheard(self, *, older_than_seconds: float, limit: int) -> list[Ring]:
        """Due jobs that were never rung, or not for that long: each with a fresh number, noted as rung now.

        Jobs of a newer version are left to those who know it.
        """
        values = {"seconds": older_than_seconds, "limit": limit}
        return [Ring(**row) for row in (await self._connection.execute(_RING_UNHEARD, values)).mappings()]

    async def cleanup(self, *, retention: float, stale: float, pending_max_age: float) -> CleanupCounts:
        """Delete finished jobs older than `retention` seconds; end what has run or waited for too long.

        Running jobs end after `stale` seconds, where no lease is alive; pending ones after they have been due for
        `pending_max_age`. Usage and cron slots of more than a week ago are forgotten.
        """
        deleted = await self._connection.execute(_DELETE_FINISHED, {"retention": retention})
        running = await self._connection.execute(_END_STALE, {"threshold": stale})
        pending = await self._connection.execute(_END_PENDING, {"max_age": pending_max_age})
        await self._connection.execute(_FORGET_USAGE)
        await self._connection.execute(_FORGET_SLOTS)
        ended = [[_ended_from(row) for row in rows.mappings()] for rows in (running, pending)]
        return CleanupCounts(
            deleted=deleted.rowcount,
            stale_running=len(ended[0]),
            stale_pending=len(ended[1]),
            stale=(*ended[0], *ended[1]),
        )

    async def statistics(self) -> dict[JobStatus, StatusCount]:
        """How many jobs are in each state; states without a job are there with 0."""
        counts = {status: StatusCount(jobs=0, oldest_seconds=0.0) for status in JobStatus}
        for row in await self._connection.execute(_STATISTICS):
            counts[JobStatus(row.status)] = StatusCount(jobs=row.jobs, oldest_seconds=row.oldest)
        return counts

    async def count_newer(self) -> int:
        """How many pending jobs only a newer program can work on."""
        return int(await self._connection.scalar(_NEWER) or 0)

    async def set_control(self, name: str, *, on: bool) -> bool:
        """Set or clear a control of the whole fleet, and say whether that changed anything."""
        statement = _SET_CONTROL if on else _CLEAR_CONTROL
        return (await self._connection.execute(statement, {"name": name})).rowcount > 0

    async def is_set(self, name: str) -> bool:
        """Whether a control is set."""
        return bool(await self._connection.scalar(_IS_SET, {"name": name}))

    async def take_slot(self, name: str, period_seconds: int) -> datetime | None:
        """Take a periodic task's current slot, in the whole fleet: its beginning, or None where it is taken.

        Slots begin at multiples of the period since 1970 (UTC), by the database's clock; ask as often as you like.
        """
        slot: datetime | None = await self._connection.scalar(_TAKE_SLOT, {"name": name, "period": period_seconds})
        return slot


def _ended_from(row: RowMapping) -> EndedJob:
    return EndedJob(
        job_id=row["job_id"],
        user_id=row["user_id"],
        attempt=row["attempt"],
        source_kind=SourceKind(row["source_kind"]),
        source={name: row[name] for name in ("git_repo_url", "upload_filename")},
    )


def _rescued_from(row: RowMapping) -> Rescued:
    return Rescued(
        job_id=row["job_id"],
        status=JobStatus(row["status"]),
        ring=row["ring"],
        error_message=row["error_message"],
        user_id=row["user_id"],
        attempt=row["attempt"],
        source_kind=SourceKind(row["source_kind"]),
        source={name: row[name] for name in ("git_repo_url", "upload_filename", "traceparent")},
        started_at=row["started_at"],
        rescued_at=row["rescued_at"],
    )
