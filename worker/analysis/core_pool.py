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
class CoreRequest:
    """A request for up to `most` cores. `granted` gets how many they are once there is one."""

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
        self._waiters: list[CoreRequest] = []
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
            self.release(taken)

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a core."""
        return len(self._waiters)

    def request(self, turn: int, most: int = 1) -> CoreRequest:
        """Ask for a core. Whoever asks must either `withdraw` the request or `release` what it was granted."""
        request = CoreRequest(turn, next(self._numbers), most, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiters, request)
        self._serve()
        return request

    def withdraw(self, request: CoreRequest) -> None:
        """Take a request back, with the cores that it was granted."""
        if request.granted.done() and not request.granted.cancelled():
            self._free += request.granted.result()
        else:
            request.granted.cancel()
            self._waiters = [other for other in self._waiters if other is not request]
            heapq.heapify(self._waiters)
        self._serve()

    def release(self, count: int) -> None:
        """Give back cores that were granted."""
        self._free += count
        self._serve()

    async def _take(self, most: int, turn: int, while_waiting: Callable[[], Coroutine[None, None, None]] | None) -> int:
        request = self.request(turn, most)
        try:
            if while_waiting is not None and not request.granted.done():
                await run_until(request.granted, while_waiting())
            return await request.granted
        except BaseException:
            self.withdraw(request)
            raise

    def _serve(self) -> None:
        while self._free > 0 and self._waiters:
            request = heapq.heappop(self._waiters)
            if request.granted.cancelled():
                continue
            taken = min(max(1, self._free - len(self._waiters)), request.most)
            self._free -= taken
            request.granted.set_result(taken)


async def run_until(granted: "asyncio.Future[Any]", work: Coroutine[None, None, None]) -> None:
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
