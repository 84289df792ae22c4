"""Detection of dead workers: their jobs run again at once, before their leases expire.

A worker is dead if two signs of its life are gone for GONE_SECONDS: PostgreSQL holds its session lock no more, and it
reports nothing to Redis. A killed process loses both: the kernel closes its connections. A stopped one, one whose event
loop is busy, and one whose network has vanished keep the lock, and a lost connection is made again within a second.
Where only one sign is gone, or one of them cannot be read, the lease decides.
"""

import asyncio
import math
import time
from dataclasses import dataclass, field

import structlog

from domain.errors import TransientError
from domain.jobs import LEASE_SECONDS
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.server.session_lock import SessionLock
from infrastructure.redis.worker_registry import WorkerRegistry
from worker.jobs.rescue import JobRescuer

REPORT_SECONDS = 0.5
"""Time between two reports of a worker."""

SILENT_SECONDS = 1.5
"""A worker that has not reported for so long is silent, by Redis' clock."""

GONE_SECONDS = 3.0
"""A worker is dead if both signs of its life are gone in every look of so long, by this worker's monotonic clock."""

LOOK_SECONDS = 0.5
LOOK_TIMEOUT_SECONDS = 2.0
MAX_PAUSE_SECONDS = 2.0
"""Longest pause between two looks. After a longer one this worker cannot say what happened meanwhile."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class DeadWorkerDetector:
    """Looks for dead workers, on every replica, and rescues their jobs.

    A look is one command to Redis, and one statement to PostgreSQL if a worker is silent.
    """

    database: Database
    registry: WorkerRegistry
    lock: SessionLock
    """This worker's own. Without it, the locks of others may have been lost as well."""
    rescuer: JobRescuer
    _gone_since: dict[str, float] = field(default_factory=dict)
    """When the first of an unbroken row of looks found both signs of a worker's life gone."""
    _looked_at: float = -math.inf

    async def run(self) -> None:
        """Look each LOOK_SECONDS until cancelled."""
        while True:
            try:
                for worker_id in await self.look():
                    await self.rescuer.rescue_of_worker(worker_id)
            except (TransientError, TimeoutError) as error:
                log.debug("dead_workers.look_failed", reason=str(error) or "timed out")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> list[str]:
        """Return the workers that are dead and have running jobs. Raises TransientError and TimeoutError."""
        began = time.monotonic()
        since, self._gone_since = self._gone_since, {}  # they stay empty if this look fails
        if not self._locks_are_reliable(began):
            return []
        if began - self._looked_at > MAX_PAUSE_SECONDS:
            since = {}
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            gone = await self._without_signs_of_life()
        self._looked_at = time.monotonic()
        if not self._locks_are_reliable(self._looked_at):
            gone = []
        self._gone_since = {worker_id: since.get(worker_id, self._looked_at) for worker_id in gone}
        return [worker_id for worker_id, first in self._gone_since.items() if began - first >= GONE_SECONDS]

    def _locks_are_reliable(self, now: float) -> bool:
        """Return whether a lock that is not held tells anything.

        A server that restarts all its sessions after a crash ends this worker's own too. Then the lease decides until
        every lease of before has expired.
        """
        return self.lock.server is not None and now - self.lock.regained_at > LEASE_SECONDS

    async def _without_signs_of_life(self) -> list[str]:
        silent = await self.registry.silent(SILENT_SECONDS)
        if not silent:
            return []
        servers = {report.replica_id: report.server for report in silent}  # the latest start, since they are sorted
        async with self.database.autocommit() as work:
            return await MaintenanceRepository(work).lockless_workers(servers)
