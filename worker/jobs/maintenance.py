"""Maintenance by every worker: rescue jobs, count them, and clean up. Workers may do it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from domain.jobs import JOB_VERSION
from infrastructure.database.engine import Database
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.observability.log_throttle import OutageLog
from infrastructure.observability.prometheus_metrics import AUDIT_DEFAULT_ROWS, CHECKS_OVERDUE, set_queue_gauges
from infrastructure.settings import Settings
from worker.jobs.cleanup import cleanup_once_per_slot
from worker.jobs.rescue import JobRescuer

MAINTENANCE_SECONDS = 10.0
"""Time between two rounds."""

STATISTICS_SECONDS = 10.0
"""One replica counts the jobs each STATISTICS_SECONDS; every replica's gauges show its count."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The maintenance loops of one worker."""

    database: Database
    settings: Settings
    rescuer: JobRescuer

    async def run(self) -> None:
        """Run each MAINTENANCE_SECONDS until cancelled. Log once per outage if a service is unavailable.

        A cleanup may take minutes, so it has a loop of its own: jobs are rescued meanwhile.
        """
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._rescue_and_count())
            loops.create_task(_repeat(self._clean_up))

    async def run_once(self) -> int:
        """Rescue and count. Returns how many pending jobs wait for a newer worker. Raises ServiceUnavailableError."""
        await self.rescuer.rescue_expired()
        async with self.database.unit_of_work() as work:
            await StatisticsRepository(work).count_if_due(STATISTICS_SECONDS)
        async with self.database.unit_of_work() as work:
            statistics = await StatisticsRepository(work).read()
        if statistics is None:
            return 0
        set_queue_gauges(statistics.counts, statistics.age_seconds)
        AUDIT_DEFAULT_ROWS.set(statistics.audit_default_rows)
        CHECKS_OVERDUE.set(statistics.overdue_checks)
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


async def _repeat(run_round: Callable[[], Awaitable[None]]) -> None:
    outage = OutageLog("maintenance.failed")
    while True:
        with outage.suppressed():
            await run_round()
        await asyncio.sleep(MAINTENANCE_SECONDS)
