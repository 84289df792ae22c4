"""What every replica does beside its jobs: rescue, sweep, and the periodic clean-up. Safe when all do it at once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import TransientError
from domain.jobs import JOB_VERSION, JobStatus
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import STALE, WORKER_LOST, CleanupCounts, EndedJob, Rescued, Ring
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.webhook_deliveries import NoticeRepository
from infrastructure.observability.prometheus_metrics import RESCUES, RINGS, note_queue
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from infrastructure.settings import Settings
from worker.jobs.attempt_trace import TRACEPARENT, record_lost_attempt
from worker.jobs.job_log import source_name

MAINTENANCE_SECONDS = 10.0
ENQUEUE_AGAIN_SECONDS = 30.0
RESCUE_LIMIT = 100
CLEANUP_SLOT = "cleanup"
CLEANUP_SECONDS = 6 * 3600
"""Slots begin at 00, 06, 12 and 18 h UTC."""

log = structlog.get_logger(__name__)


async def cleanup(database: Database, settings: Settings) -> CleanupCounts:
    """Delete what has been finished for long, end what is stale, and forget old runs where that is asked for.

    Raises ServiceUnavailableError.
    """
    async with database.unit_of_work() as work:
        return await _cleanup(work, settings)


async def cleanup_once_per_slot(database: Database, settings: Settings) -> None:
    """The same, unless somebody in the fleet has done so in the current slot.

    The slot is taken in the same transaction, so that a crash gives it back.
    """
    async with database.unit_of_work() as work:
        if await JobRepository(work).take_slot(CLEANUP_SLOT, CLEANUP_SECONDS) is not None:
            await _cleanup(work, settings)


async def _cleanup(work: AsyncConnection, settings: Settings) -> CleanupCounts:
    counts = await JobRepository(work).cleanup(
        retention=settings.completed_job_retention,
        stale=settings.stale_job_threshold,
        pending_max_age=settings.pending_job_max_age,
    )
    await NoticeRepository(work).forget_old(settings.completed_job_retention)
    if settings.run_retention_days is not None:
        await RunRepository(work).delete_older_than(settings.run_retention_days)
    for job in counts.stale:
        _log_failed(job, kind=STALE, reason=STALE)
    log.info("cleanup.completed", deleted=counts.deleted, stale=counts.stale_running + counts.stale_pending)
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The upkeep loop of one replica."""

    database: Database
    queue: JobQueue
    vault: TokenVault
    settings: Settings
    free_slots: Callable[[], int]
    tracer: Tracer = field(default_factory=NoTracer)

    async def run(self) -> None:
        """Every MAINTENANCE_SECONDS until cancelled; a service that is away is waited for, and named once."""
        away, newer = False, 0
        while True:
            try:
                before, newer = newer, await self.once()
                if newer and not before:
                    log.warning("queue.newer_jobs_found", jobs=newer, known=JOB_VERSION)
                away = False
            except TransientError as error:
                if not away:
                    log.warning("maintenance.failed", reason=str(error))
                away = True
            await asyncio.sleep(MAINTENANCE_SECONDS)

    async def once(self) -> int:
        """One round; how many pending jobs wait for a worker of a newer version. Raises ServiceUnavailableError."""
        async with self.database.unit_of_work() as work:
            rescued = await JobRepository(work).rescue_expired(RESCUE_LIMIT)
            unheard = await JobRepository(work).ring_unheard(
                older_than_seconds=ENQUEUE_AGAIN_SECONDS, limit=2 * self.free_slots()
            )
            note_queue(await JobRepository(work).statistics())
            newer = await JobRepository(work).count_newer()
        RINGS.inc(len(unheard))
        for job in rescued:
            RESCUES.labels(job.status.value).inc()
            _log_rescue(job)
            record_lost_attempt(
                self.tracer,
                parent=job.source[TRACEPARENT],
                began=job.started_at,
                ended=job.rescued_at,
                job_id=job.job_id,
                attempt=job.attempt,
                reason=WORKER_LOST,
            )
        again = [Ring(job_id=job.job_id, ring=job.ring) for job in rescued if job.status is JobStatus.PENDING]
        for ring in [*again, *unheard]:
            await self.queue.enqueue(ring.job_id, ring.ring)
        for job in rescued:
            if job.status.finished:  # nobody is left who would
                await self.vault.delete(job.job_id)
        await cleanup_once_per_slot(self.database, self.settings)
        return newer


def _log_rescue(job: Rescued) -> None:
    log.warning("job.rescued", **_whose(job), status=str(job.status))
    if job.status.finished:
        _log_failed(job, kind=WORKER_LOST, reason=job.error_message)


def _log_failed(job: Rescued | EndedJob, *, kind: str, reason: str | None) -> None:
    outcome = "cancelled" if reason == CANCELLED else "failed"
    source = source_name(job.source_kind, job.source)
    log.info("job.failed", **_whose(job), outcome=outcome, source=source, kind=kind, reason=reason)


def _whose(job: Rescued | EndedJob) -> dict[str, JSON]:
    return {"job_id": job.job_id, "attempt": job.attempt, "user_id": str(job.user_id)}
