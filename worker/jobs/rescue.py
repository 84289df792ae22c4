"""Rescue of jobs from lost workers: the statement, and what follows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from domain.jobs import JobStatus
from domain.statistics.ends import Outcome
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import WORKER_LOST, MaintenanceRepository, RescuedJob
from infrastructure.observability.prometheus_metrics import RESCUES
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from worker.jobs.attempt_trace import TRACEPARENT, record_lost_attempt
from worker.jobs.job_log import job_fields, log_failed

RESCUE_LIMIT = 100
"""Jobs that one statement rescues at most."""

LEASE_EXPIRED = "the lease expired"
WORKER_DEAD = "the worker is dead"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRescuer:
    """Takes jobs from lost workers, as failed attempts. Every replica may do so at the same time."""

    database: Database
    queue: JobQueue
    events: EventPublisher
    vault: TokenVault
    on_due: Callable[[], None]
    """Called when there may be jobs to claim."""
    tracer: Tracer = field(default_factory=NoTracer)

    async def rescue_expired(self) -> None:
        """Rescue jobs whose lease has expired. Raises ServiceUnavailableError."""
        async with self.database.unit_of_work() as work:
            rescued = await MaintenanceRepository(work).rescue_expired(RESCUE_LIMIT)
        await self._announce(rescued, LEASE_EXPIRED)

    async def rescue_of_worker(self, worker_id: str) -> None:
        """Rescue the jobs of a dead worker, whatever their leases say. Raises ServiceUnavailableError."""
        async with self.database.unit_of_work() as work:
            rescued = await MaintenanceRepository(work).rescue_of_worker(worker_id, RESCUE_LIMIT)
        await self._announce(rescued, WORKER_DEAD)

    async def _announce(self, rescued: Sequence[RescuedJob], reason: str) -> None:
        for job in rescued:
            self._record(job, reason)
        requeued = [job.job_id for job in rescued if job.status is JobStatus.PENDING]
        if requeued:
            self.on_due()
            await self.queue.enqueue(requeued)
        for job in rescued:
            if job.status.finished:
                event = {"status": job.status, "stage": None, "progress": 100, "error_message": job.error_message}
                self.events.publish(job.job_id, event, Outcome(job.status))
                # Its worker died before it could delete the token.
                await self.vault.delete(job.job_id)

    def _record(self, job: RescuedJob, reason: str) -> None:
        RESCUES.labels(job.status.value).inc()
        log.warning("job.rescued", **job_fields(job), status=str(job.status), worker=job.worker_id, reason=reason)
        if job.status.finished:
            log_failed(job, kind=WORKER_LOST, reason=job.error_message)
        record_lost_attempt(
            self.tracer,
            parent=job.source[TRACEPARENT],
            began=job.started_at,
            ended=job.rescued_at,
            job_id=job.job_id,
            attempt=job.attempt,
            reason=WORKER_LOST,
        )
