"""Pool of the jobs that a worker runs at the same time.

A job's task belongs to the pool and not to ARQ: when ARQ ends because Redis is unavailable, the jobs go on.
"""

import asyncio
import random
import time
from collections.abc import Callable

import structlog
from arq import Retry

from domain.errors import TransientError
from infrastructure.observability.log_throttle import LogThrottle
from worker.jobs.runner import JobRunner
from worker.process.backpressure import Backpressure

RETRY_SECONDS = 3.0
LOG_SECONDS = 60.0

log = structlog.get_logger(__name__)


class JobPool:
    """Runs one job per slot, unless `pause_reason` names a reason against it."""

    def __init__(
        self, runner: JobRunner, backpressure: Backpressure, *, slots: int, on_job: Callable[[], None] = lambda: None
    ) -> None:
        """`on_job` is called after each attempt at a job."""
        self._runner = runner
        self._backpressure = backpressure
        self._slots = slots
        self._semaphore = asyncio.Semaphore(slots)
        self._tasks: set[asyncio.Task[bool]] = set()
        self._log_throttle = LogThrottle(LOG_SECONDS)
        self._on_job = on_job
        self.draining = False

    @property
    def busy(self) -> int:
        """Number of slots with a job."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """Number of slots without a job."""
        return self._slots - len(self._tasks)

    async def run_next(self) -> None:
        """Run the due job with the lowest turn, if there is one, in a free slot.

        Raises ARQ's Retry if the worker claims no job now or the claim fails, so that the queue entry is not lost.
        """
        await self._semaphore.acquire()
        reason = self.pause_reason()
        if reason is not None:
            self._semaphore.release()
            self._warn("claim.paused", reason)
            raise Retry(defer=_retry_delay())
        task = asyncio.create_task(self._run_job())
        self._tasks.add(task)
        task.add_done_callback(self._release_slot)
        try:
            await asyncio.shield(task)
        except TransientError:
            raise Retry(defer=_retry_delay()) from None

    def _release_slot(self, task: "asyncio.Task[bool]") -> None:
        """Free the slot when the job has ended, whether or not ARQ still waits for it."""
        self._tasks.discard(task)
        self._semaphore.release()
        if not task.cancelled() and task.exception() is not None:
            self._warn("claim.failed", str(task.exception()))

    async def _run_job(self) -> bool:
        ran = await self._runner.run_next()
        if ran:
            self._on_job()
        return ran

    def pause_reason(self) -> str | None:
        """Return why the worker claims no job now, in one line, or None."""
        if self.draining:
            return "this worker is draining"
        if not self._runner.leases.healthy:
            return "leases cannot be renewed: PostgreSQL is unavailable"
        return self._backpressure.reason()

    def _warn(self, event: str, reason: str) -> None:
        """Log at most once per LOG_SECONDS, because each queue entry has the same problem."""
        if self._log_throttle.allows():
            log.warning(event, reason=reason)

    async def drain(self, grace_seconds: float, force: asyncio.Event) -> None:
        """Claim no more jobs, and requeue those that still run after `grace_seconds` or when `force` is set."""
        self.draining = True
        forced = asyncio.create_task(force.wait())
        deadline = time.monotonic() + grace_seconds
        while self._tasks and not forced.done() and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            await asyncio.wait({*self._tasks, forced}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        remaining = list(self._tasks)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)


def _retry_delay() -> float:
    """Return a random delay: all workers of the fleet may wait for the same database."""
    return random.uniform(RETRY_SECONDS / 2, RETRY_SECONDS)  # nosec B311 # noqa: S311 - jitter
