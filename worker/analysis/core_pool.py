"""The pool of processor cores that the CPU-heavy children of one worker share."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the number of cores in the affinity mask, or the container's CPU quota (cgroup v2) if that is lower."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


class CorePool:
    """Limits how many cores the analyses of this worker use at the same time."""

    def __init__(self, count: int | None = None) -> None:
        """`count` defaults to `usable_cores()`."""
        self.count = count or usable_cores()
        self._free = self.count
        self._waiting = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def acquire(self, at_most: int | None = None) -> AsyncIterator[int]:
        """Wait for a free core, and yield how many cores the block may use.

        That is one core, plus the free ones that nobody else waits for, up to `at_most` (default: all of the pool).
        """
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: self._free > 0)
            finally:
                self._waiting -= 1
            acquired = min(max(1, self._free - self._waiting), at_most or self.count)
            self._free -= acquired
        try:
            yield acquired
        finally:
            self._free += acquired
            async with self._changed:
                self._changed.notify_all()
