"""Room of other workers, for jobs that wait for a core of this one."""

import asyncio
import time

from domain.errors import TransientError
from infrastructure.redis.worker_registry import WorkerRegistry

HAND_BACK_SECONDS = 5.0
"""A job that waits for a core looks so often whether another worker has room."""

SETTLE_SECONDS = 5.0
"""Room that was given to a job shows in the registry for so long: until that job is claimed and registered."""


class RoomElsewhere:
    """Tells waiting jobs of one worker that another worker has room, as many jobs as there is room for."""

    def __init__(self, registry: WorkerRegistry, worker_id: str) -> None:
        self._registry = registry
        self._worker_id = worker_id
        self._given: list[float] = []

    async def wait(self) -> None:
        """Return when another worker has room for one more job, HAND_BACK_SECONDS from now at the earliest."""
        while True:
            await asyncio.sleep(HAND_BACK_SECONDS)
            room = await self._room()
            self._given = [given for given in self._given if time.monotonic() - given < SETTLE_SECONDS]
            if room > len(self._given):
                self._given.append(time.monotonic())
                return

    async def _room(self) -> int:
        """Return how many jobs the other workers have room for; 0 while Redis is away."""
        try:
            workers = await self._registry.workers()
        except TransientError:
            return 0
        return sum(worker.room for worker in workers if worker.replica_id != self._worker_id)
