"""Renewal of the leases of a worker's jobs, and cancellation of jobs whose lease is lost or that a user cancelled."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog

from domain.errors import CancelledByUserError, LeaseLostError, TransientError, Vibe8Error
from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS, Claim
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.observability.log_throttle import OutageLog
from infrastructure.observability.prometheus_metrics import HEARTBEATS, LEASES_LOST
from infrastructure.redis.queue import JobQueue

CHECK_SECONDS = 2.0
"""Interval between checks for cancellations. A job must end within five seconds of its cancellation."""

MAX_PUBLISHING = 100
"""Limit on progress events that are being sent to Redis. More are dropped: a compromised child may report endlessly."""

FIRST_PROGRESS_DELAY_SECONDS = 0.1
"""Progress is suppressed for so long after a job's first report: nobody watches the stages of a job that short."""

ENDING_SECONDS = 10.0
"""A worker that stops waits so long for the end of an attempt that is being written: it may be committed already."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class HeldLease:
    """A running job: its claim, its last report of progress, and the task that runs it."""

    claim: Claim
    task: asyncio.Future[object]
    renewed: float
    stage: str | None = None
    progress: int = 0
    end_reason: Vibe8Error | None = field(default=None)
    publish_from: float | None = None
    first_publish: asyncio.TimerHandle | None = None
    ending: bool = False
    """The end of the attempt is being written: that write alone decides whether the lease still held."""

    def end(self, reason: Vibe8Error) -> None:
        """Cancel the work. `LeaseKeeper.hold` then raises `reason`."""
        if self.end_reason is None:
            if isinstance(reason, LeaseLostError):
                LEASES_LOST.inc()
            self.end_reason = reason
            self.task.cancel()


class LeaseKeeper:
    """One loop for all jobs of a worker: renews each HEARTBEAT_SECONDS, and checks for cancellations more often.

    `healthy` is False while the database cannot be reached. The monotonic clock measures the time since the last
    renewal: a job whose lease must have expired is ended even if the database cannot be reached.

    Attempts are kept by lease token: a worker may claim a job again while its earlier attempt, whose lease was lost,
    is still ending.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue
        self._held: dict[UUID, HeldLease] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self._outage = OutageLog("lease.renewal_failed")
        self.healthy = True

    async def hold(self, claim: Claim, work: Awaitable[T]) -> T:
        """Run the work while the lease holds, and return its result.

        Raises LeaseLostError or CancelledByUserError, after the work has ended its child processes. If this call is
        cancelled, the work is too, except that the end of an attempt which is being written may still be.
        """
        task: asyncio.Future[T] = asyncio.ensure_future(work)
        held = HeldLease(claim=claim, task=task, renewed=time.monotonic())  # type: ignore[arg-type]
        self._held[claim.lease_token] = held
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if held.ending:
                await asyncio.wait({task}, timeout=ENDING_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if held.end_reason is not None:
                raise held.end_reason from None
            return task.result()
        finally:
            self.release(claim)

    def start_ending(self, claim: Claim) -> None:
        """Leave it to the write of the attempt's end whether the lease still holds. It goes on being renewed.

        A check that comes back after that write, with an answer from before it, would take the job for lost.
        """
        held = self._held.get(claim.lease_token)
        if held is not None:
            held.ending = True

    def release(self, claim: Claim) -> None:
        """Stop renewing the lease of an attempt that has ended."""
        held = self._held.pop(claim.lease_token, None)
        if held is not None and held.first_publish is not None:
            held.first_publish.cancel()

    def held_jobs(self) -> list[str]:
        """Return the ids of the running jobs."""
        return [held.claim.job.job_id for held in self._held.values()]

    def report(self, claim: Claim, progress: Mapping[str, JSON]) -> None:
        """Store a job's stage and progress for the next heartbeat, and publish them."""
        held = self._held.get(claim.lease_token)
        if held is None:
            return
        held.stage = str(progress["stage"])[:40]
        held.progress = min(max(int(progress["progress"]), held.progress, 0), 99)
        now = time.monotonic()
        held.publish_from = held.publish_from or now + FIRST_PROGRESS_DELAY_SECONDS
        delay = held.publish_from - now
        if delay <= 0:
            self._start_publishing(held)
        elif held.first_publish is None:
            held.first_publish = asyncio.get_running_loop().call_later(delay, self._start_publishing, held)

    def _start_publishing(self, held: HeldLease) -> None:
        if len(self._publishing) >= MAX_PUBLISHING:
            return
        event = {"status": "running", "stage": held.stage, "progress": held.progress}
        task = asyncio.create_task(self._publish(held.claim.job.job_id, event))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def run(self) -> None:
        """Renew and check until cancelled."""
        last_renewal = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            renew = time.monotonic() - last_renewal >= HEARTBEAT_SECONDS
            if renew:
                last_renewal = time.monotonic()
            # Also without a job: `healthy` must become False when the database goes, and True when it is back.
            if self._held or renew or not self.healthy:
                await self._check(renew=renew)
            self._end_expired()

    async def _check(self, *, renew: bool) -> None:
        checked_at = time.monotonic()
        leases = list(self._held.values())
        states = [
            LeaseState(
                job_id=held.claim.job.job_id, token=held.claim.lease_token, stage=held.stage, progress=held.progress
            )
            for held in leases
        ]
        try:
            async with asyncio.timeout(LEASE_SECONDS / 3), self._database.autocommit() as work:
                if renew:
                    cancel_requested = await AttemptRepository(work).renew_leases(states, LEASE_SECONDS)
                else:
                    cancel_requested = await AttemptRepository(work).check_leases(states)
        except (TransientError, TimeoutError) as error:
            HEARTBEATS.labels("unreachable").inc()
            self.healthy = False
            self._outage.log_begin(error, jobs=len(self._held))
            return
        self.healthy = True
        self._outage.log_end()
        if renew:
            HEARTBEATS.labels("ok").inc()
        for held in leases:
            self._apply(held, cancel_requested, checked_at if renew else held.renewed)

    def _apply(self, held: HeldLease, cancel_requested: Mapping[UUID, bool], renewed: float) -> None:
        """End the job if its lease is no longer there or its user cancelled it."""
        cancelled = cancel_requested.get(held.claim.lease_token)
        held.renewed = renewed
        if held.ending or held.claim.lease_token not in self._held:
            return
        if cancelled is None:
            held.end(LeaseLostError("the lease was lost"))
        elif cancelled:
            held.end(CancelledByUserError("cancelled by user"))

    def _end_expired(self) -> None:
        """End jobs whose lease has expired since the last renewal: another worker may run them by now."""
        for held in list(self._held.values()):
            if time.monotonic() - held.renewed > LEASE_SECONDS - CHECK_SECONDS and not held.ending:
                held.end(LeaseLostError("the lease ran out while the database could not be reached"))

    async def _publish(self, job_id: str, event: Mapping[str, JSON]) -> None:
        try:
            await self._queue.publish(job_id, event)
        except TransientError:
            log.debug("progress.publish_failed", job_id=job_id)
