"""Keeps the leases of all jobs that run on this worker, and ends the work of those that are lost or cancelled."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from domain.errors import CancelledByUserError, LeaseLostError, TransientError, Vibe8Error
from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS, Claim
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import LeaseState
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.observability.prometheus_metrics import HEARTBEATS, LEASES_LOST
from infrastructure.redis.queue import JobQueue

CHECK_SECONDS = 2.0
"""How often cancellations are looked for: with the kill that follows, well within five seconds."""

MAX_PUBLISHING = 100
"""Messages on their way to listeners. A child that was taken over can talk without end; a message is only a hint."""

FIRST_PROGRESS_DELAY_SECONDS = 0.1
"""For so long after its first word nothing is told of a job: nobody waits for the stages of one so short."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Held:
    """One running job: its claim, what it last said of itself, and the task that does the work."""

    claim: Claim
    task: asyncio.Future[object]
    renewed: float
    stage: str | None = None
    progress: int = 0
    ended_by: Vibe8Error | None = field(default=None)
    quiet_until: float | None = None
    silence: asyncio.TimerHandle | None = None
    """What ends the quiet of the first moment."""

    def end(self, why: Vibe8Error) -> None:
        """Cancel the work; `LeaseKeeper.hold` raises `why` instead of its result."""
        if self.ended_by is None:
            if isinstance(why, LeaseLostError):
                LEASES_LOST.inc()
            self.ended_by = why
            self.task.cancel()


class LeaseKeeper:
    """One loop for all jobs of the worker: renews every HEARTBEAT_SECONDS, looks for cancellations more often.

    Time without a renewal is measured by this machine's monotonic clock: when a lease must have run out, the work is
    killed, whether or not the database can be asked.
    """

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue
        self._held: dict[str, Held] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self.healthy = True

    async def hold(self, claim: Claim, work: Awaitable[T]) -> T:
        """Do the work while the lease holds.

        Raises LeaseLostError or CancelledByUserError, the work's process group gone by then.
        """
        task: asyncio.Future[T] = asyncio.ensure_future(work)
        held = Held(claim=claim, task=task, renewed=time.monotonic())  # type: ignore[arg-type]
        self._held[claim.job.job_id] = held
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if held.ended_by is not None:
                raise held.ended_by from None
            raise
        finally:
            self.release(claim)

    def release(self, claim: Claim) -> None:
        """The job has ended by our own hand: that its lease is gone says nothing any more."""
        held = self._held.pop(claim.job.job_id, None)
        if held is not None and held.silence is not None:
            held.silence.cancel()

    def held_jobs(self) -> list[str]:
        """The ids of the jobs at work."""
        return list(self._held)

    def report(self, claim: Claim, progress: Mapping[str, JSON]) -> None:
        """Note a job's stage and progress for the next heartbeat, and tell listeners now, or very soon."""
        held = self._held.get(claim.job.job_id)
        if held is None:
            return
        held.stage = str(progress["stage"])[:40]
        held.progress = min(max(int(progress["progress"]), held.progress, 0), 99)
        now = time.monotonic()
        held.quiet_until = held.quiet_until or now + FIRST_PROGRESS_DELAY_SECONDS
        quiet = held.quiet_until - now
        if quiet <= 0:
            self._tell(held)
        elif held.silence is None:
            held.silence = asyncio.get_running_loop().call_later(quiet, self._tell, held)

    def _tell(self, held: Held) -> None:
        if len(self._publishing) >= MAX_PUBLISHING:
            return
        event = {"status": "running", "stage": held.stage, "progress": held.progress}
        task = asyncio.create_task(self._publish(held.claim.job.job_id, event))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def run(self) -> None:
        """Until cancelled."""
        last_renewal = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            renew = time.monotonic() - last_renewal >= HEARTBEAT_SECONDS
            if renew:
                last_renewal = time.monotonic()
            # Without a job, too: somebody must notice that the database has gone, and that it is back.
            if self._held or renew or not self.healthy:
                await self._check(renew=renew)
            self._end_expired()

    async def _check(self, *, renew: bool) -> None:
        asked = time.monotonic()
        asked_for = list(self._held.values())
        states = [
            LeaseState(
                job_id=held.claim.job.job_id, token=held.claim.lease_token, stage=held.stage, progress=held.progress
            )
            for held in asked_for
        ]
        try:
            async with asyncio.timeout(LEASE_SECONDS / 3), self._database.statement() as work:
                if renew:
                    alive = await JobRepository(work).renew_leases(states, LEASE_SECONDS)
                else:
                    alive = await JobRepository(work).check_leases(states)
        except (TransientError, TimeoutError):
            HEARTBEATS.labels("unreachable").inc()
            self._complain_once()
            return
        self.healthy = True
        if renew:
            HEARTBEATS.labels("ok").inc()
        for held in asked_for:
            self._judge(held, alive, asked if renew else held.renewed)

    def _judge(self, held: Held, alive: Mapping[str, bool], renewed: float) -> None:
        cancel_requested = alive.get(held.claim.job.job_id)
        held.renewed = renewed
        if cancel_requested is None:
            held.end(LeaseLostError("the lease was lost"))
        elif cancel_requested:
            held.end(CancelledByUserError("cancelled by user"))

    def _complain_once(self) -> None:
        if self.healthy:
            log.warning("lease.renewal_failed", jobs=len(self._held))
        self.healthy = False

    def _end_expired(self) -> None:
        """Without the database nobody can say that we still may work; by now another worker may."""
        for held in list(self._held.values()):
            if time.monotonic() - held.renewed > LEASE_SECONDS - CHECK_SECONDS:
                held.end(LeaseLostError("the lease ran out while the database could not be reached"))

    async def _publish(self, job_id: str, event: Mapping[str, JSON]) -> None:
        try:
            await self._queue.publish(job_id, event)
        except TransientError:
            log.debug("progress.publish_failed", job_id=job_id)
