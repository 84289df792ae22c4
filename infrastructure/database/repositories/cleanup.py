"""Cleanup: delete what is old and fail stale jobs, one chunk of rows a call. Times are the database's.

Rows that another transaction holds are skipped: a later chunk, or the next cleanup, handles them. A statement that
skips never waits for a row, and two cleanups that run at the same time get different rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JobStatus, Transition
from domain.options import evaluation_id_of
from domain.sources import SourceKind
from domain.text import JSON
from infrastructure.database.access.sessions import SessionRepository
from infrastructure.database.access.usage import KEPT_MONTHS, REFUNDED_NOW, month_of, refund
from infrastructure.database.evaluations.ending import end_abandoned, end_members
from infrastructure.database.repositories.mapping import EVALUATION_OF, OWNER_AND_SOURCE, SOURCE_FIELDS
from infrastructure.database.repositories.runs import delete_free_runs

STALE = "stale"
COMPLETED_SUFFIX = ".completed"
_FAIL, _DROP = Transition.FAIL, Transition.DROP

_DELETE_FINISHED = text("""
    WITH old AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE status = :status AND updated_at < statement_timestamp() - make_interval(secs => :age)
        ORDER BY updated_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM jobs USING old WHERE jobs.job_id = old.job_id
""")

# A stale job is the fleet's fault: it was not claimed for a day, or its end could not be written.
_REFUND_STALE = """
    refunded_at = CASE WHEN jobs.cancel_requested_at IS NULL
        THEN coalesce(jobs.refunded_at, statement_timestamp()) ELSE jobs.refunded_at END
"""

_FAIL_STALE_RUNNING = text(f"""
    WITH stale AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE status = '{_FAIL.before}'
            AND coalesce(started_at, created_at) < statement_timestamp() - make_interval(secs => :age)
            AND (lease_expires_at IS NULL OR lease_expires_at < statement_timestamp())
        LIMIT :limit FOR UPDATE SKIP LOCKED
    ), failed AS (
        UPDATE jobs
        SET status = '{_FAIL.after}', error_message = '{STALE}', finished_at = statement_timestamp(), stage = NULL,
            lease_token = NULL, lease_expires_at = NULL, {_REFUND_STALE}
        FROM stale WHERE jobs.job_id = stale.job_id
        RETURNING jobs.job_id, {OWNER_AND_SOURCE}, {EVALUATION_OF}, {REFUNDED_NOW}
    ), {refund("failed")}
    SELECT * FROM failed
""")  # nosec B608 # noqa: S608 - no input in it

# The age counts from when the job became due, not from its creation: a retried job starts anew.
_FAIL_STALE_PENDING = text(f"""
    WITH stale AS MATERIALIZED (
        SELECT job_id FROM jobs
        WHERE status = '{_DROP.before}' AND run_after < statement_timestamp() - make_interval(secs => :age)
        ORDER BY run_after LIMIT :limit FOR UPDATE SKIP LOCKED
    ), failed AS (
        UPDATE jobs SET status = '{_DROP.after}', error_message = '{STALE}', finished_at = statement_timestamp(),
            {_REFUND_STALE}
        FROM stale WHERE jobs.job_id = stale.job_id
        RETURNING jobs.job_id, {OWNER_AND_SOURCE}, {EVALUATION_OF}, {REFUNDED_NOW}
    ), {refund("failed")}
    SELECT * FROM failed
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE_OLD_RUNS = delete_free_runs("""
    SELECT run_id FROM analysis_runs
    WHERE created_at < statement_timestamp() - make_interval(secs => :age) AND NOT pinned
    ORDER BY created_at LIMIT :limit
""")

_DELETE_ENDED_DELIVERIES = text("""
    WITH old AS MATERIALIZED (
        SELECT notice_id FROM notices
        WHERE coalesce(delivered_at, given_up_at) < statement_timestamp() - make_interval(secs => :age)
            AND (delivered_at IS NOT NULL OR given_up_at IS NOT NULL)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM notices USING old WHERE notices.notice_id = old.notice_id
""")

_DELETE_OLD_USAGE = text("""
    WITH old AS MATERIALIZED (
        SELECT user_id, day FROM daily_usage
        WHERE day < CAST(statement_timestamp() AT TIME ZONE 'UTC' AS date) - 7
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM daily_usage USING old WHERE daily_usage.user_id = old.user_id AND daily_usage.day = old.day
""")

_DELETE_OLD_MONTHS = text(f"""
    WITH old AS MATERIALIZED (
        SELECT id FROM usage_tracking
        WHERE month_year < {month_of(f"(statement_timestamp() - interval '{KEPT_MONTHS - 1} months')")}
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM usage_tracking USING old WHERE usage_tracking.id = old.id
""")  # nosec B608 # noqa: S608 - no input in it

_DELETE_OLD_SLOTS = text("""
    WITH old AS MATERIALIZED (
        SELECT name, slot FROM cron_slots WHERE slot < statement_timestamp() - interval '7 days'
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM cron_slots USING old WHERE cron_slots.name = old.name AND cron_slots.slot = old.slot
""")

_SLOT = "to_timestamp(floor(extract(epoch FROM statement_timestamp()) / :period) * :period)"

# `claimed_at` is the last sign of life of the replica that works in the slot. A completed slot has a second row.
_TAKE_SLOT = text(f"""
    INSERT INTO cron_slots (name, slot)
    SELECT :name, {_SLOT}
    WHERE NOT EXISTS (SELECT 1 FROM cron_slots WHERE name = :completed AND slot = {_SLOT})
    ON CONFLICT (name, slot) DO UPDATE SET claimed_at = statement_timestamp()
    WHERE cron_slots.claimed_at < statement_timestamp() - make_interval(secs => :lease)
    RETURNING slot, claimed_at
""")  # nosec B608 # noqa: S608 - no input in it

_CONFIRM_SLOT = text("""
    UPDATE cron_slots SET claimed_at = statement_timestamp()
    WHERE name = :name AND slot = :slot AND claimed_at = :claimed_at
    RETURNING claimed_at
""")

_COMPLETE_SLOT = text("""
    INSERT INTO cron_slots (name, slot) VALUES (:completed, :slot) ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that cleanup failed as stale: its owner, its last attempt, and the metadata that identify its source."""

    job_id: str
    user_id: UUID
    attempt: int
    source_kind: SourceKind
    source: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedChunk:
    """What one call has done: the number of rows, and the jobs among them that it failed."""

    rows: int
    failed: tuple[EndedJob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupCounts:
    """The result of one cleanup: numbers of jobs deleted, and of jobs that became `failed: stale`."""

    deleted: int
    stale_running: int
    stale_pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot of a periodic task that a replica holds: its start, and when the replica last confirmed it."""

    name: str
    start: datetime
    confirmed_at: datetime


class CleanupRepository:
    """Cleanup, within one unit of work. Each method handles at most `limit` rows; ages are in seconds.

    A result of fewer rows than `limit` means that none is left, or that another transaction holds the others.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def delete_finished(self, status: JobStatus, age: float, limit: int) -> CleanedChunk:
        """Delete jobs that reached this final status more than `age` ago."""
        return await self._delete(_DELETE_FINISHED, limit, status=status, age=age)

    async def fail_stale_running(self, age: float, limit: int) -> CleanedChunk:
        """Fail jobs that were started more than `age` ago and have no valid lease."""
        return await self._fail(_FAIL_STALE_RUNNING, age, limit)

    async def fail_stale_pending(self, age: float, limit: int) -> CleanedChunk:
        """Fail jobs that became due more than `age` ago and are still pending."""
        return await self._fail(_FAIL_STALE_PENDING, age, limit)

    async def delete_old_runs(self, age: float, limit: int) -> CleanedChunk:
        """Delete runs created more than `age` ago, and clear them from the jobs that refer to them."""
        return await self._delete(_DELETE_OLD_RUNS, limit, age=age)

    async def delete_ended_deliveries(self, age: float, limit: int) -> CleanedChunk:
        """Delete webhook deliveries that arrived or were given up more than `age` ago."""
        return await self._delete(_DELETE_ENDED_DELIVERIES, limit, age=age)

    async def delete_old_usage(self, limit: int) -> CleanedChunk:
        """Delete counts of submissions that are older than a week."""
        return await self._delete(_DELETE_OLD_USAGE, limit)

    async def end_abandoned_evaluations(self, limit: int) -> CleanedChunk:
        """End evaluations whose last open members were ended or deleted by another program."""
        return CleanedChunk(rows=await end_abandoned(self._connection, limit))

    async def delete_expired_sessions(self, limit: int) -> CleanedChunk:
        """Delete sessions of browsers that have ended or were idle for too long, and links that have expired."""
        return CleanedChunk(rows=await SessionRepository(self._connection).delete_expired(limit))

    async def delete_old_months(self, limit: int) -> CleanedChunk:
        """Delete what was used in months that are older than KEPT_MONTHS, the current one included."""
        return await self._delete(_DELETE_OLD_MONTHS, limit)

    async def delete_old_slots(self, limit: int) -> CleanedChunk:
        """Delete slots of periodic tasks that are older than a week."""
        return await self._delete(_DELETE_OLD_SLOTS, limit)

    async def _delete(self, statement: TextClause, limit: int, **values: JSON) -> CleanedChunk:
        done = await self._connection.execute(statement, {"limit": limit, **values})
        return CleanedChunk(rows=done.rowcount)

    async def _fail(self, statement: TextClause, age: float, limit: int) -> CleanedChunk:
        rows = (await self._connection.execute(statement, {"age": age, "limit": limit})).mappings().all()
        await end_members(self._connection, [evaluation_id_of(row) for row in rows])
        failed = tuple(
            EndedJob(
                job_id=row["job_id"],
                user_id=row["user_id"],
                attempt=row["attempt"],
                source_kind=SourceKind(row["source_kind"]),
                source={name: row[name] for name in SOURCE_FIELDS},
            )
            for row in rows
        )
        return CleanedChunk(rows=len(failed), failed=failed)


class SlotRepository:
    """Slots of periodic tasks, in the table `cron_slots`, within one unit of work.

    Slots start at multiples of their period since 1970 (UTC), by the database's clock. Keep the transactions short:
    a replica that asks for a slot waits for the one that has just changed it.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take(self, name: str, *, period_seconds: int, lease_seconds: float) -> Slot | None:
        """Take the current slot. Returns None if it is completed, or if another replica works in it.

        A replica that has not confirmed its slot for `lease_seconds` loses it, so that another one goes on.
        """
        values = {
            "name": name,
            "completed": name + COMPLETED_SUFFIX,
            "period": period_seconds,
            "lease": lease_seconds,
        }
        row = (await self._connection.execute(_TAKE_SLOT, values)).one_or_none()
        return None if row is None else Slot(name=name, start=row.slot, confirmed_at=row.claimed_at)

    async def confirm(self, slot: Slot) -> Slot | None:
        """Confirm that the replica still works in the slot. Returns the slot as it is now, or None if it was lost."""
        values = {"name": slot.name, "slot": slot.start, "claimed_at": slot.confirmed_at}
        confirmed: datetime | None = await self._connection.scalar(_CONFIRM_SLOT, values)
        return None if confirmed is None else Slot(name=slot.name, start=slot.start, confirmed_at=confirmed)

    async def complete(self, slot: Slot) -> None:
        """Mark the slot's work as done: no replica takes the slot again."""
        await self._connection.execute(_COMPLETE_SLOT, {"completed": slot.name + COMPLETED_SUFFIX, "slot": slot.start})
