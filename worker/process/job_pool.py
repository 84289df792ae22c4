"""Claims jobs when there is room for them, and runs them.

The loop claims in batches until nothing is due. A wake-up from Redis only makes it claim sooner: without Redis it
claims when a job ends, and each POLL_SECONDS.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from domain.errors import TransientError
from domain.jobs import Claim
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.prometheus_metrics import WAKEUPS_MISSED
from worker.analysis.shared_child.room import children_needed
from worker.jobs.runner import JobRunner
from worker.process.backpressure import Backpressure

POLL_SECONDS = 3.0
"""Time between two claims of an idle worker, plus or minus a third. An empty claim costs PostgreSQL 0.1 to 0.4 ms."""

ASSIGN_SECONDS = 0.5
"""Least time between two assignments of turns to due jobs without one (retries, rows of other programs)."""

ASSIGN_LIMIT = 1_000
HOLD_BACK_SECONDS = 3.0
"""Time without claims after a job was handed back, so that another worker claims it."""

CLAIM_SECONDS = 15.0
"""A draining worker waits so long for a claim under way. Without an answer by then PostgreSQL is away."""

MAX_ENDING = 100
"""Most jobs whose end is being written and that take no room. PostgreSQL may be slower than the worker."""

LOG_SECONDS = 60.0

log = structlog.get_logger(__name__)


class JobPool:
    """Claims and runs up to `room` jobs at the same time, and one small upload in the express slot.

    The express slot is used while larger jobs take all the room: a small upload takes about 0.1 s, and its user does
    not wait minutes for the archives of others.
    """

    def __init__(
        self,
        runner: JobRunner,
        backpressure: Backpressure,
        *,
        room: int,
        share: int = 1,
        on_job: Callable[[], None] = lambda: None,
    ) -> None:
        """`share` is how many small uploads of one user may count as one job; `on_job` is called after each attempt."""
        self._runner = runner
        self._backpressure = backpressure
        self._room = room
        self._share = share
        self._tasks: dict[asyncio.Task[None], Claim] = {}
        self._ending: dict[asyncio.Task[None], Claim] = {}
        """Jobs whose work is done, and whose end is being written. They are no longer among `_tasks`."""
        self._express: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._unanswered = 0
        """Number of wake-ups that came since the last claim began, or that it answers."""
        self._may_be_more = True
        self._backlog = False
        """Whether the last claim took all that there was room for: the next one follows without a wake-up."""
        self._polling = False
        """Whether POLL_SECONDS have passed without a wake-up or the end of a job."""
        self._assigned_at = -ASSIGN_SECONDS
        self._next_assignment: asyncio.TimerHandle | None = None
        self._held_back_until = 0.0
        self._claiming = asyncio.Lock()
        self._throttle = LogThrottle(LOG_SECONDS)
        self._failures = LogThrottle(LOG_SECONDS)
        self._on_job = on_job
        self.draining = False

    @property
    def busy(self) -> int:
        """Number of running jobs, the express slot's and those whose end is being written included."""
        return len(self._tasks) + len(self._ending)

    @property
    def free(self) -> int:
        """Number of jobs that the worker has room for; small uploads that may share a child count as one.

        A job takes no room while its end is written, unless too many ends wait for PostgreSQL.
        """
        working = [claim for task, claim in self._tasks.items() if task is not self._express]
        return max(0, self._room - children_needed(working, self._share))

    @property
    def slots(self) -> int:
        """Number of jobs that the worker runs at the same time, without the express slot."""
        return self._room

    @property
    def wakeups_wanted(self) -> int:
        """Number of wake-ups that can lead to a claim. A worker without room leaves them to others.

        So does one with a backlog, which fills its room without them; but its express slot may be free for a small
        upload. No wake-up is taken for room that a claim under way may fill.
        """
        if self._held_back or self.pause_reason() is not None:
            return 0
        room = 0 if self._backlog else self.free
        return max(0, (room or self._wants_express) - self._unanswered)

    @property
    def _wants_express(self) -> bool:
        """Whether the express slot is free, and a larger job runs that a small upload need not wait for."""
        return self._express is None and not all(claim.job.small for claim in self._tasks.values())

    def wake(self) -> None:
        """Claim due jobs now."""
        self._unanswered += 1
        self._may_be_more = True
        self._woken.set()

    def hold_back(self) -> None:
        """Claim nothing for HOLD_BACK_SECONDS."""
        self._held_back_until = time.monotonic() + HOLD_BACK_SECONDS

    @property
    def _held_back(self) -> bool:
        return time.monotonic() < self._held_back_until

    async def run(self) -> None:
        """Claim and start jobs until cancelled."""
        while True:
            answered = self._unanswered
            try:
                async with self._claiming:
                    await self._claim_due()
            except TransientError as error:
                if self._failures.allows():
                    log.warning("claim.failed", reason=str(error))
            self._unanswered -= answered
            pause = random.uniform(POLL_SECONDS * 2 / 3, POLL_SECONDS * 4 / 3)  # nosec B311 # noqa: S311 - spreads load
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                self._polling = self._may_be_more = True
            self._woken.clear()

    async def _claim_due(self) -> None:
        while self._may_be_more and not self.draining and not self._held_back:
            reason = self.pause_reason()
            if reason is not None:
                self._warn("claim.paused", reason)
                self._backlog = False
                return
            if self.free > 0:
                await self._claim(self.free)
            elif self._wants_express:
                await self._claim_express()
                return
            else:
                return

    async def _claim(self, limit: int) -> None:
        self._may_be_more = False  # a wake-up that comes during the claim sets it again
        claims = await self._runner.claim(limit, share=self._share)
        self._note_success()
        if self._polling and self.busy == 0:
            WAKEUPS_MISSED.inc(len(claims))
        self._polling = False
        for claim in claims:
            self._start(claim)
        self._backlog = len(claims) >= limit
        self._may_be_more |= self._backlog
        if await self._assign_turns():
            self._may_be_more = True

    async def _claim_express(self) -> None:
        claims = await self._runner.claim(1, only_small=True)
        self._note_success()
        for claim in claims:
            self._express = self._start(claim, express=True)

    def _note_success(self) -> None:
        if self._failures.reset():
            log.info("service.available", after="claim.failed")

    async def _assign_turns(self) -> bool:
        """Return whether due jobs were given turns. It follows the claim, which need not wait for it."""
        wait = self._assigned_at + ASSIGN_SECONDS - time.monotonic()
        if wait > 0:
            self._assign_later(wait)
            return False
        self._assigned_at = time.monotonic()
        return await self._runner.assign_turns(ASSIGN_LIMIT) > 0

    def _assign_later(self, wait: float) -> None:
        """Claim again when turns may be assigned: the wake-up just answered may have been for a job without one."""
        if self._next_assignment is None:
            self._next_assignment = asyncio.get_running_loop().call_later(wait, self._assignment_is_due)

    def _assignment_is_due(self) -> None:
        self._next_assignment = None
        self.wake()

    def _start(self, claim: Claim, *, express: bool = False) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._runner.run(claim, express=express, on_ending=lambda: self._work_done(task)))
        self._tasks[task] = claim
        task.add_done_callback(self._ended)
        return task

    def _work_done(self, task: "asyncio.Task[None]") -> None:
        """Let the next job in while the end of this one is written."""
        if len(self._ending) >= MAX_ENDING:
            return
        self._ending[task] = self._tasks.pop(task)
        self._make_room(task)

    def _make_room(self, task: "asyncio.Task[None]") -> None:
        if task is self._express:
            self._express = None
            self._may_be_more = True  # the express slot's claim does not say whether more is due
        if self._may_be_more:
            self._woken.set()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self._ending.pop(task, None) is None:
            del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._warn("job.runner_failed", repr(error))
        self._on_job()
        self._make_room(task)

    def pause_reason(self) -> str | None:
        """Why no job is claimed just now, in one line; None where one would be."""
        if self.draining:
            return "this worker is draining"
        if not self._runner.leases.healthy:
            return "leases cannot be renewed: PostgreSQL is unavailable"
        return self._backpressure.reason()

    def _warn(self, event: str, reason: str) -> None:
        if self._throttle.allows(event):
            log.warning(event, reason=reason)

    async def drain(self, grace_seconds: float, force: asyncio.Event) -> None:
        """Claim nothing more; wait for the jobs, at most `grace_seconds` or until `force`; requeue the rest."""
        self.draining = True
        await self._finish_claim()
        with _waiting_for(force) as forced:
            deadline = time.monotonic() + grace_seconds
            while self.busy and not forced.done() and (left := deadline - time.monotonic()) > 0:
                running = {*self._tasks, *self._ending, forced}
                await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        remaining = [*self._tasks, *self._ending]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    async def _finish_claim(self) -> None:
        """Wait for a claim under way, so that its jobs are among those that are waited for or requeued."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLAIM_SECONDS), self._claiming:
                return


@contextmanager
def _waiting_for(event: asyncio.Event) -> "Iterator[asyncio.Task[bool]]":
    task = asyncio.ensure_future(event.wait())
    try:
        yield task
    finally:
        task.cancel()
