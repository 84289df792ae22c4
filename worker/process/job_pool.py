"""The slots of one worker: how many jobs it works on at once, and when it takes none.

A job's task belongs to the pool and not to ARQ's: when ARQ ends because Redis is away, the jobs go on.
"""

import asyncio
import random
import time
from collections.abc import Callable

import structlog
from arq import Retry

from domain.errors import TransientError
from worker.jobs.runner import JobRunner
from worker.process.backpressure import Backpressure

AGAIN_SECONDS = 3.0
COMPLAIN_SECONDS = 60.0

log = structlog.get_logger(__name__)


class JobPool:
    """Answers rings while there are slots, room and a database."""

    def __init__(
        self, runner: JobRunner, backpressure: Backpressure, *, slots: int, on_job: Callable[[], None] = lambda: None
    ) -> None:
        """`on_job` is called after each job that was worked on."""
        self._runner = runner
        self._backpressure = backpressure
        self._slots = slots
        self._semaphore = asyncio.Semaphore(slots)
        self._tasks: set[asyncio.Task[bool]] = set()
        self._complained = -COMPLAIN_SECONDS
        self._on_job = on_job
        self.draining = False

    @property
    def busy(self) -> int:
        """Slots with a job."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """Slots without a job."""
        return self._slots - len(self._tasks)

    async def run_next(self) -> None:
        """Work on the fairest due job, if there is one.

        Raises ARQ's Retry where that cannot be tried just now, so that the ring is not lost.
        """
        await self._semaphore.acquire()
        reason = self.pause_reason()
        if reason is not None:
            self._semaphore.release()
            self._complain("claim.paused", reason)
            raise Retry(defer=_soon())
        task = asyncio.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        try:
            await asyncio.shield(task)
        except TransientError:
            raise Retry(defer=_soon()) from None

    def _done(self, task: "asyncio.Task[bool]") -> None:
        """The slot is free when the job has ended, whether or not ARQ still waits for it."""
        self._tasks.discard(task)
        self._semaphore.release()
        if not task.cancelled() and task.exception() is not None:
            self._complain("claim.failed", str(task.exception()))

    async def _work(self) -> bool:
        worked = await self._runner.run_next()
        if worked:
            self._on_job()
        return worked

    def pause_reason(self) -> str | None:
        """Why no job is taken on just now, in one line; None where one would be."""
        if self.draining:
            return "this worker is draining"
        if not self._runner.leases.healthy:
            return "leases cannot be renewed: PostgreSQL is away"
        return self._backpressure.reason()

    def _complain(self, event: str, reason: str) -> None:
        """Once a minute, not once a ring."""
        if time.monotonic() - self._complained >= COMPLAIN_SECONDS:
            self._complained = time.monotonic()
            log.warning(event, reason=reason)

    async def drain(self, grace_seconds: float, force: asyncio.Event) -> None:
        """Take nothing more; wait for the jobs, at most for `grace_seconds` or until `force`; hand back the rest."""
        self.draining = True
        hurried = asyncio.create_task(force.wait())
        deadline = time.monotonic() + grace_seconds
        while self._tasks and not hurried.done() and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            await asyncio.wait({*self._tasks, hurried}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        remaining = list(self._tasks)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)


def _soon() -> float:
    """Spread, since a whole fleet may be waiting for the same database."""
    return random.uniform(AGAIN_SECONDS / 2, AGAIN_SECONDS)  # nosec B311 # noqa: S311 - spreads load
