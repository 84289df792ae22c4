"""Cleanup: old and stale rows, in chunks that are independent of each other."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import LeaseLostError, TransientError
from domain.jobs import FINISHED_STATUSES, JobStatus
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.access.audit_partitions import AuditPartitionRepository
from infrastructure.database.chunks import in_chunks
from infrastructure.database.engine import Database
from infrastructure.database.repositories.cleanup import (
    STALE,
    CleanedChunk,
    CleanupCounts,
    CleanupRepository,
    Slot,
    SlotRepository,
)
from infrastructure.database.tracking.hook_deliveries import HookDeliveryRepository
from infrastructure.settings import Settings
from worker.jobs.job_log import log_failed

CLEANUP_SLOT = "cleanup"
CLEANUP_SECONDS = 6 * 3600
"""Length of a cleanup slot. Slots begin at 00, 06, 12 and 18 h UTC."""

SLOT_LEASE_SECONDS = 180.0
"""A slot that is neither completed nor confirmed for so long is taken over. It is confirmed between two chunks."""

DAY_SECONDS = 86_400.0

log = structlog.get_logger(__name__)

_ChangeChunk = Callable[[AsyncConnection, int], Awaitable[CleanedChunk]]


async def cleanup(
    database: Database, settings: Settings, *, after_chunk: Callable[[], Awaitable[None]] | None = None
) -> CleanupCounts:
    """Delete jobs that finished long ago, fail stale ones, and delete old runs if `RUN_RETENTION_DAYS` is set.

    Usage, cron slots and webhook deliveries that are no longer needed go as well, and so do the audit log's partitions
    that are too old; the coming ones are made. One entry of the audit log has the counts. Safe at the same time on
    several workers, which then share the rows. A step that fails does not keep the others from their work: the first
    ServiceUnavailableError is raised after the last step. Raises also what `after_chunk` raises, at once.
    """
    rows: Counter[str] = Counter()
    failures: list[TransientError] = []
    await _keep_partitions(database, settings.audit_retention_months, rows, failures)
    for name, change in _steps(settings):
        try:
            async for chunk in in_chunks(database, change):
                rows[name] += chunk.rows
                for job in chunk.failed:
                    log_failed(job, kind=STALE, reason=STALE)
                if after_chunk is not None:
                    await after_chunk()
        except LeaseLostError:
            raise
        except TransientError as error:
            log.warning("cleanup.step_failed", step=name, rows=rows[name], reason=str(error))
            failures.append(error)
    await _record(database, rows, failures)
    if failures:
        raise failures[0]
    counts = CleanupCounts(
        deleted=sum(rows[f"{status}_jobs"] for status in FINISHED_STATUSES),
        stale_running=rows["stale_running"],
        stale_pending=rows["stale_pending"],
    )
    log.info("cleanup.completed", deleted=counts.deleted, stale=counts.stale_running + counts.stale_pending)
    return counts


async def _keep_partitions(
    database: Database, keep_months: int, rows: Counter[str], failures: list[TransientError]
) -> None:
    """Create the coming partitions of the audit log, and drop the old ones: each in a transaction of its own."""
    for name, change in (
        ("partitions_created", AuditPartitionRepository.create_missing),
        ("partitions_dropped", AuditPartitionRepository.drop_old),
    ):
        try:
            async with database.unit_of_work() as work:
                rows[name] = await change(AuditPartitionRepository(work), keep_months)
        except TransientError as error:
            log.warning("cleanup.step_failed", step=name, rows=0, reason=str(error))
            failures.append(error)


async def _record(database: Database, rows: Counter[str], failures: list[TransientError]) -> None:
    """Write the audit log's entry of a cleanup: the rows of each step that did something, and the failed steps."""
    details = {"rows": {name: count for name, count in rows.items() if count}, "failed_steps": len(failures)}
    try:
        async with database.unit_of_work() as work:
            await AuditRepository(work).record(Action.CLEANUP, Resource.FLEET, None, actor=Actor(), details=details)
    except TransientError as error:
        log.warning("cleanup.step_failed", step="audit", rows=0, reason=str(error))
        failures.append(error)


async def cleanup_once_per_slot(database: Database, settings: Settings) -> None:
    """Clean up, unless the current slot is completed or another worker works in it.

    The slot is completed after the last chunk. If this worker dies before that, another one takes the slot and goes
    on with the rows that are left. Raises ServiceUnavailableError, and LeaseLostError where that has happened.
    """
    async with database.unit_of_work() as work:
        slot = await SlotRepository(work).take(
            CLEANUP_SLOT, period_seconds=CLEANUP_SECONDS, lease_seconds=SLOT_LEASE_SECONDS
        )
    if slot is None:
        return
    holder = _SlotHolder(database, slot)
    await cleanup(database, settings, after_chunk=holder.confirm)
    async with database.unit_of_work() as work:
        await SlotRepository(work).complete(holder.slot)


@dataclass(slots=True)
class _SlotHolder:
    database: Database
    slot: Slot

    async def confirm(self) -> None:
        async with self.database.unit_of_work() as work:
            confirmed = await SlotRepository(work).confirm(self.slot)
        if confirmed is None:
            raise LeaseLostError("another worker has taken over the cleanup")
        self.slot = confirmed


def _steps(settings: Settings) -> list[tuple[str, _ChangeChunk]]:
    """Return the steps of a cleanup: a name, and the change of at most so many rows in one transaction."""
    retention: float = settings.completed_job_retention
    steps = [(f"{status}_jobs", _delete_finished(status, retention)) for status in FINISHED_STATUSES]
    steps += [
        (
            "stale_running",
            lambda work, limit: CleanupRepository(work).fail_stale_running(settings.stale_job_threshold, limit),
        ),
        (
            "stale_pending",
            lambda work, limit: CleanupRepository(work).fail_stale_pending(settings.pending_job_max_age, limit),
        ),
        ("evaluations", lambda work, limit: CleanupRepository(work).end_abandoned_evaluations(limit)),
        ("deliveries", lambda work, limit: CleanupRepository(work).delete_ended_deliveries(retention, limit)),
        ("usage", lambda work, limit: CleanupRepository(work).delete_old_usage(limit)),
        ("sessions", lambda work, limit: CleanupRepository(work).delete_expired_sessions(limit)),
        ("months", lambda work, limit: CleanupRepository(work).delete_old_months(limit)),
        ("slots", lambda work, limit: CleanupRepository(work).delete_old_slots(limit)),
        ("hook_deliveries", _delete_hook_deliveries),
    ]
    if settings.run_retention_days is not None:
        age = settings.run_retention_days * DAY_SECONDS
        steps.append(("runs", lambda work, limit: CleanupRepository(work).delete_old_runs(age, limit)))
    return steps


async def _delete_hook_deliveries(work: AsyncConnection, limit: int) -> CleanedChunk:
    return CleanedChunk(rows=await HookDeliveryRepository(work).delete_old(limit))


def _delete_finished(status: JobStatus, retention: float) -> _ChangeChunk:
    return lambda work, limit: CleanupRepository(work).delete_finished(status, retention, limit)
