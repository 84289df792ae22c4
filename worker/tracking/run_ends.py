"""What follows the end of a tracked repository's job: its status, its followers' webhooks, and the statistics."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from infrastructure.database.engine import Database
from infrastructure.database.repositories.cleanup import SlotRepository
from infrastructure.database.tracking.run_ends import RunEndRepository
from infrastructure.database.tracking.statistics import RepositoryStatisticsRepository
from infrastructure.observability.log_throttle import OutageLog

POLL_SECONDS = 5.0
"""Time between two looks for ends that this worker did not write: by a rescue, a client or a dead worker."""

STATISTICS_SLOT = "repository_stats"
STATISTICS_SECONDS = 600
"""Length of a slot, in which one replica counts the statistics of all repositories."""

SLOT_LEASE_SECONDS = 120.0
_SLOT_POLL_SECONDS = 30.0


class RunEndApplier:
    """Applies ends, and counts the statistics. Every replica does; each end and each slot is taken once."""

    def __init__(self, database: Database, on_webhook_due: Callable[[], None]) -> None:
        """`on_webhook_due` is called when a follower is to be told."""
        self._database = database
        self._on_webhook_due = on_webhook_due
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """Look now: the job of a tracked repository has ended."""
        self._wakeup.set()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_repeat(self.apply_all, self._wait_for_wakeup))
            loops.create_task(_repeat(self.count_once_per_slot, lambda: asyncio.sleep(_SLOT_POLL_SECONDS)))

    async def apply_all(self) -> int:
        """Apply all ends that no other replica is at, each in a transaction of its own, and return how many.

        Raises TransientError; the end of a transaction that failed is applied later.
        """
        self._wakeup.clear()
        applied = 0
        while True:
            async with self._database.unit_of_work() as work:
                end = await RunEndRepository(work).apply_next()
            if end is None:
                return applied
            applied += 1
            if end.told:
                self._on_webhook_due()

    async def count_once_per_slot(self) -> bool:
        """Count the statistics, unless another replica did or does so in this slot. Returns whether this one did."""
        async with self._database.unit_of_work() as work:
            slot = await SlotRepository(work).take(
                STATISTICS_SLOT, period_seconds=STATISTICS_SECONDS, lease_seconds=SLOT_LEASE_SECONDS
            )
        if slot is None:
            return False
        async with self._database.unit_of_work() as work:
            await RepositoryStatisticsRepository(work).refresh()
        async with self._database.unit_of_work() as work:
            await SlotRepository(work).complete(slot)
        return True

    async def _wait_for_wakeup(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wakeup.wait(), POLL_SECONDS)


async def _repeat(work: Callable[[], Awaitable[object]], pause: Callable[[], Awaitable[None]]) -> None:
    outage = OutageLog("repository.upkeep_failed")
    while True:
        with outage.suppressed():
            await work()
        await pause()
