"""Maintenance by every worker: rescue jobs, count them, and clean up. Workers may do it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from domain.errors import TransientError
from domain.jobs import JOB_VERSION, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import WORKER_LOST, MaintenanceRepository, RescuedJob
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.prometheus_metrics import RESCUES, set_queue_gauges
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from infrastructure.settings import Settings
from worker.jobs.attempt_trace import TRACEPARENT, record_lost_attempt
from worker.jobs.cleanup import cleanup_once_per_slot
from worker.jobs.job_log import job_fields, log_failed

MAINTENANCE_SECONDS = 10.0
"""Time between two rounds."""

STATISTICS_SECONDS = 10.0
"""One replica counts the jobs each STATISTICS_SECONDS; every replica's gauges show its count."""

RESCUE_LIMIT = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The maintenance loops of one worker."""

    database: Database
    queue: JobQueue
    vault: TokenVault
    settings: Settings
    on_due: Callable[[], None]
    """Called when there may be jobs to claim."""
    tracer: Tracer = field(default_factory=NoTracer)

    async def run(self) -> None:
        """Run each MAINTENANCE_SECONDS until cancelled. Log once per outage if a service is unavailable.

        A cleanup may take minutes, so it has a loop of its own: jobs are rescued meanwhile.
        """
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._rescue_and_count())
            loops.create_task(_repeat(self._clean_up))

    async def run_once(self) -> int:
        """Rescue and count. Returns how many pending jobs wait for a newer worker. Raises ServiceUnavailableError."""
        await self._rescue()
        async with self.database.unit_of_work() as work:
            await StatisticsRepository(work).count_if_due(STATISTICS_SECONDS)
        async with self.database.unit_of_work() as work:
            statistics = await StatisticsRepository(work).read()
        if statistics is None:
            return 0
        set_queue_gauges(statistics.counts, statistics.age_seconds)
        return statistics.newer_version

    async def _rescue_and_count(self) -> None:
        newer = 0

        async def run_round() -> None:
            nonlocal newer
            before, newer = newer, await self.run_once()
            if newer and not before:
                log.warning("queue.newer_jobs_found", jobs=newer, known=JOB_VERSION)

        await _repeat(run_round)

    async def _clean_up(self) -> None:
        await cleanup_once_per_slot(self.database, self.settings)

    async def _rescue(self) -> None:
        async with self.database.unit_of_work() as work:
            rescued = await MaintenanceRepository(work).rescue_expired(RESCUE_LIMIT)
        for job in rescued:
            self._record_rescue(job)
        requeued = [job.job_id for job in rescued if job.status is JobStatus.PENDING]
        if requeued:
            self.on_due()
            await self.queue.enqueue(requeued)
        for job in rescued:
            if job.status.finished:  # its worker died before it could delete the token
                await self.vault.delete(job.job_id)

    def _record_rescue(self, job: RescuedJob) -> None:
        RESCUES.labels(job.status.value).inc()
        log.warning("job.rescued", **job_fields(job), status=str(job.status), worker=job.worker_id)
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


async def _repeat(run_round: Callable[[], Awaitable[None]]) -> None:
    throttle = LogThrottle()
    while True:
        try:
            await run_round()
            throttle.reset()
        except TransientError as error:
            if throttle.allows():
                log.warning("maintenance.failed", reason=str(error))
        await asyncio.sleep(MAINTENANCE_SECONDS)
