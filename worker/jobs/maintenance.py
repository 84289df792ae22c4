"""Maintenance by every worker: rescue jobs, enqueue them again, and clean up. Workers may do it at the same time."""

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
from infrastructure.database.repositories.maintenance import (
    STALE,
    WORKER_LOST,
    CleanupCounts,
    EndedJob,
    MaintenanceRepository,
    RescuedJob,
)
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.prometheus_metrics import RESCUES, set_queue_gauges
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from infrastructure.settings import Settings
from worker.jobs.attempt_trace import TRACEPARENT, record_lost_attempt
from worker.jobs.job_log import source_name

MAINTENANCE_SECONDS = 10.0
"""A due job that is not claimed so long after its last wake-up is enqueued again."""

RESCUE_LIMIT = 100
CLEANUP_SLOT = "cleanup"
CLEANUP_SECONDS = 6 * 3600
"""Length of a cleanup slot. Slots begin at 00, 06, 12 and 18 h UTC."""

log = structlog.get_logger(__name__)


async def cleanup(database: Database, settings: Settings) -> CleanupCounts:
    """Delete jobs that finished long ago, fail stale ones, and delete old runs if `RUN_RETENTION_DAYS` is set.

    Raises ServiceUnavailableError.
    """
    async with database.unit_of_work() as work:
        return await _cleanup(work, settings)


async def cleanup_once_per_slot(database: Database, settings: Settings) -> None:
    """Clean up, unless a worker of the fleet has done so in the current slot.

    The slot is taken in the same transaction, so that it stays free if the worker crashes.
    """
    async with database.unit_of_work() as work:
        if await MaintenanceRepository(work).take_slot(CLEANUP_SLOT, CLEANUP_SECONDS) is not None:
            await _cleanup(work, settings)


async def _cleanup(work: AsyncConnection, settings: Settings) -> CleanupCounts:
    counts = await MaintenanceRepository(work).cleanup(
        retention=settings.completed_job_retention,
        stale=settings.stale_job_threshold,
        pending_max_age=settings.pending_job_max_age,
    )
    await WebhookDeliveryRepository(work).delete_ended(settings.completed_job_retention)
    if settings.run_retention_days is not None:
        await RunRepository(work).delete_older_than(settings.run_retention_days)
    for job in counts.stale:
        _log_failed(job, kind=STALE, reason=STALE)
    log.info("cleanup.completed", deleted=counts.deleted, stale=counts.stale_running + counts.stale_pending)
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The maintenance loop of one worker."""

    database: Database
    queue: JobQueue
    vault: TokenVault
    settings: Settings
    on_due: Callable[[], None]
    """Called when there may be jobs to claim."""
    tracer: Tracer = field(default_factory=NoTracer)

    async def run(self) -> None:
        """Run each MAINTENANCE_SECONDS until cancelled. Log once per outage if a service is unavailable."""
        throttle, newer = LogThrottle(), 0
        while True:
            try:
                before, newer = newer, await self.run_once()
                if newer and not before:
                    log.warning("queue.newer_jobs_found", jobs=newer, known=JOB_VERSION)
                throttle.reset()
            except TransientError as error:
                if throttle.allows():
                    log.warning("maintenance.failed", reason=str(error))
            await asyncio.sleep(MAINTENANCE_SECONDS)

    async def run_once(self) -> int:
        """Run one round. Returns how many pending jobs wait for a newer worker. Raises ServiceUnavailableError."""
        async with self.database.unit_of_work() as work:
            rescued = await MaintenanceRepository(work).rescue_expired(RESCUE_LIMIT)
            set_queue_gauges(await MaintenanceRepository(work).statistics())
            newer = await MaintenanceRepository(work).count_newer_version()
        for job in rescued:
            self._record_rescue(job)
        requeued = [job.job_id for job in rescued if job.status is JobStatus.PENDING]
        if requeued:
            self.on_due()
            await self.queue.enqueue(requeued)
        for job in rescued:
            if job.status.finished:  # its worker died before it could delete the token
                await self.vault.delete(job.job_id)
        await cleanup_once_per_slot(self.database, self.settings)
        return newer

    def _record_rescue(self, job: RescuedJob) -> None:
        RESCUES.labels(job.status.value).inc()
        log.warning("job.rescued", **_job_fields(job), status=str(job.status), worker=job.worker_id)
        if job.status.finished:
            _log_failed(job, kind=WORKER_LOST, reason=job.error_message)
        record_lost_attempt(
            self.tracer,
            parent=job.source[TRACEPARENT],
            began=job.started_at,
            ended=job.rescued_at,
            job_id=job.job_id,
            attempt=job.attempt,
            reason=WORKER_LOST,
        )


def _log_failed(job: RescuedJob | EndedJob, *, kind: str, reason: str | None) -> None:
    outcome = "cancelled" if reason == CANCELLED else "failed"
    source = source_name(job.source_kind, job.source)
    log.info("job.failed", **_job_fields(job), outcome=outcome, source=source, kind=kind, reason=reason)


def _job_fields(job: RescuedJob | EndedJob) -> dict[str, JSON]:
    return {"job_id": job.job_id, "attempt": job.attempt, "user_id": str(job.user_id)}
