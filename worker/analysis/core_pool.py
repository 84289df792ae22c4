"""The pool of processor cores that the CPU-heavy children of one worker share."""

import asyncio
import heapq
import itertools
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the number of cores in the affinity mask, or the container's CPU quota (cgroup v2) if that is lower."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


@dataclass(order=True, slots=True)
class _Waiter:
    turn: int
    number: int
    most: int = field(compare=False)
    granted: asyncio.Future[int] = field(compare=False)


class CorePool:
    """Limits how many cores the analyses of this worker use at the same time. The lowest turn is served first."""

    def __init__(self, count: int | None = None) -> None:
        """`count` defaults to `usable_cores()`."""
        self.count = count or usable_cores()
        self._free = self.count
        self._waiters: list[_Waiter] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def acquire(
        self,
        at_most: int | None = None,
        *,
        turn: int = 0,
        while_waiting: Callable[[], Coroutine[None, None, None]] | None = None,
        express: bool = False,
    ) -> AsyncIterator[int]:
        """Wait for a free core, and yield how many cores the block may use.

        That is one core, plus the free ones that nobody else waits for, up to `at_most` (default: all of the pool).
        `while_waiting` is called if no core is free at once, and cancelled when there is one. What it raises ends the
        wait; it cannot take a core back that has been granted. With `express` the block does not wait and takes no core
        from the others: it runs beside them.
        """
        if express:
            yield 1
            return
        taken = await self._take(at_most or self.count, turn, while_waiting)
        try:
            yield taken
        finally:
            self._free += taken
            self._serve()

    async def _take(self, most: int, turn: int, while_waiting: Callable[[], Coroutine[None, None, None]] | None) -> int:
        waiter = _Waiter(turn, next(self._numbers), most, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiters, waiter)
        self._serve()
        try:
            if while_waiting is not None and not waiter.granted.done():
                await _run_until(waiter.granted, while_waiting())
            return await waiter.granted
        except BaseException:
            self._abandon(waiter)
            raise

    def _serve(self) -> None:
        while self._free > 0 and self._waiters:
            waiter = heapq.heappop(self._waiters)
            if waiter.granted.cancelled():
                continue
            taken = min(max(1, self._free - len(self._waiters)), waiter.most)
            self._free -= taken
            waiter.granted.set_result(taken)

    def _abandon(self, waiter: _Waiter) -> None:
        """Wait no longer, and give back what was granted to a task that was cancelled before it could run."""
        if waiter.granted.done() and not waiter.granted.cancelled():
            self._free += waiter.granted.result()
        else:
            waiter.granted.cancel()
            self._waiters = [other for other in self._waiters if other is not waiter]
            heapq.heapify(self._waiters)
        self._serve()


async def _run_until(granted: "asyncio.Future[int]", work: Coroutine[None, None, None]) -> None:
    """Run the work until a core is granted. Raises what the work raises before that.

    Nothing is awaited after the decision between the two, so that no core can be granted to work that has failed.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail as the core is granted
    try:
        both: list[asyncio.Future[Any]] = [granted, task]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not granted.done():
            task.result()
    finally:
        task.cancel()
