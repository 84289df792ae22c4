"""Checks of tracked repositories by one worker. Every replica checks; none waits for another.

A claim is a commit of its own. Then the host is asked, without a transaction. The job of a branch that has moved and
the branch's new head are one transaction, which is fenced by the claim: so however a worker ends, each change has one
job. All times are PostgreSQL's; the clocks of the workers do not matter.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from collectors.engine.collector_names import collector_names
from domain.errors import (
    InvalidInputError,
    LeaseLostError,
    LimitExceededError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from domain.plans import Plans
from domain.tracking.backoff import refusal_delay, time_after_failure
from domain.tracking.settings import RepositorySettings
from infrastructure.child_process.cancellation import finish_despite_cancellation
from infrastructure.database.engine import Database
from infrastructure.database.repositories.submissions import SubmissionRepository
from infrastructure.database.tracking.checks import CheckClaim, CheckRepository, NextCheck
from infrastructure.failpoints import failpoint
from infrastructure.observability.log_throttle import OutageLog
from infrastructure.observability.prometheus_metrics import REPOSITORY_CHECKS
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from worker.tracking.head_check import FoundHeads, HeadCheck
from worker.tracking.moved_branches import find_moved, missing_message, new_job
from worker.tracking.schedules import next_time

TICK_SECONDS = 60.0
"""Time between two looks for checks that are due by schedule. While some are due, the next is claimed at once."""

POLL_SECONDS = 2.0
"""Time between two looks for checks that an owner or a host has asked for."""

LEASE_SECONDS = 120.0
"""Validity of a claim: more than a check and its writes take. After it, another worker may claim the check.

A worker whose places to fetch are all taken by jobs may wait for longer; then another worker makes the check."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingServices:
    """What a check needs. At most `at_once` are made at a time; `on_job` is called when a job was submitted."""

    database: Database
    heads: HeadCheck
    queue: JobQueue
    vault: TokenVault
    plans: Plans
    at_once: int
    on_job: Callable[[], None]


class RepositoryTracker:
    """The checks of one worker, so few at a time that jobs keep the machine."""

    def __init__(self, services: TrackingServices) -> None:
        self._services = services
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._next_tick = 0.0

    async def run(self) -> None:
        """Run until cancelled; claims of checks under way are then released."""
        outage = OutageLog("repository.claim_failed")
        try:
            while True:
                self._wakeup.clear()
                with outage.suppressed():
                    await self.start_due()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wakeup.wait(), POLL_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start_due(self) -> int:
        """Claim as many due checks as may run now, start them, and return how many. Raises TransientError."""
        free = self._services.at_once - len(self._tasks)
        if free <= 0:
            return 0  # the end of a check wakes the loop
        scheduled = time.monotonic() >= self._next_tick
        async with self._services.database.autocommit() as work:
            claims = await CheckRepository(work).claim(free, lease_seconds=LEASE_SECONDS, scheduled=scheduled)
        if scheduled and len(claims) < free:
            self._next_tick = time.monotonic() + TICK_SECONDS
        for claim in claims:
            task = asyncio.create_task(_check(self._services, claim))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return len(claims)

    async def run_until_idle(self) -> None:
        """Run all checks that are due now to their ends. Raises TransientError."""
        self._next_tick = 0.0
        while await self.start_due() or self._tasks:
            await asyncio.gather(*self._tasks)
            self._next_tick = 0.0

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._wakeup.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("repository.check_crashed", reason=f"{type(error).__name__}: {error}")


async def _check(services: TrackingServices, claim: CheckClaim) -> None:
    check = _Check(services, claim)
    failpoint("check-claimed")
    try:
        await check.run()
    except (LeaseLostError, NotFoundError) as error:  # another worker has it, or its owner is gone
        check.record("lost", reason=str(error))
    except TransientError as error:  # of PostgreSQL or Redis: another claim follows when the lease has expired
        check.record("interrupted", reason=str(error))
    except asyncio.CancelledError:
        with suppress(TransientError):
            await finish_despite_cancellation(check.abandon())
        raise


@dataclass(frozen=True, slots=True)
class _Check:
    """One claimed check."""

    services: TrackingServices
    claim: CheckClaim

    async def run(self) -> None:
        """Ask the host, submit the jobs of branches that have moved, and release the claim."""
        repository = self.claim.repository
        try:
            settings = RepositorySettings.from_json(repository.settings, collector_names())
            token = self._token()
            found = await self.services.heads.heads(repository.clone_url, settings.branches, token)
            branches = find_moved(repository, settings, found)
        except (PermanentError, TransientError) as error:
            await self._fail(str(error), None, may_pass=isinstance(error, TransientError))
            return
        failpoint("heads-found")
        try:
            for branch in branches.moved:
                await self._submit(settings, found, branch, token)
        except LimitExceededError as error:
            await self._refuse(str(error))
            return
        if branches.missing:
            await self._fail(missing_message(repository, branches.missing), found.default_branch, may_pass=False)
            return
        async with self.services.database.unit_of_work() as work:
            done = await CheckRepository(work).succeed(self.claim, self._next(), found.default_branch)
        self._require(done)
        self.record("moved" if branches.moved else "unchanged")

    def _token(self) -> str | None:
        encrypted = self.claim.encrypted_token
        return None if encrypted is None else self.services.vault.decrypt(encrypted)

    async def _submit(self, settings: RepositorySettings, found: FoundHeads, branch: str, token: str | None) -> None:
        """Store the job of a branch and the branch's head in one transaction, and enqueue the job after it."""
        repository, vault = self.claim.repository, self.services.vault
        job = new_job(repository, settings, found, branch, has_token=token is not None)
        if token is not None:
            await vault.put(job.job_id, token)
        try:
            async with self.services.database.unit_of_work() as work:
                await SubmissionRepository(work).submit(repository.owner_id, [job], self.services.plans)
                self._require(await CheckRepository(work).advance(self.claim, branch, found.commits[branch]))
                failpoint("head-before-commit")
        except BaseException:
            if token is not None:
                with suppress(TransientError):
                    await vault.delete(job.job_id)
            raise
        failpoint("head-committed")
        log.info("repository.moved", repository_id=str(repository.repository_id), branch=branch, job_id=job.job_id)
        self.services.on_job()
        with suppress(TransientError):  # idle workers look for due jobs anyway
            await self.services.queue.enqueue([job.job_id])

    async def _refuse(self, reason: str) -> None:
        """Release the claim after a limit of the owner refused a job; the branch's head stays for the next check."""
        at = self.claim.claimed_at + refusal_delay(self.claim.refusals + 1)
        async with self.services.database.unit_of_work() as work:
            done = await CheckRepository(work).refuse(self.claim, self._next_at(at), reason)
        self._require(done)
        self.record("refused", reason=reason)

    async def _fail(self, reason: str, default_branch: str | None, *, may_pass: bool) -> None:
        repository = self.claim.repository
        at = time_after_failure(
            self.claim.claimed_at, repository.failures + 1, self._next().scheduled, may_pass=may_pass
        )
        async with self.services.database.unit_of_work() as work:
            done = await CheckRepository(work).fail(self.claim, self._next_at(at), reason, default_branch)
        self._require(done)
        self.record("failed", reason=reason)

    def _next(self) -> NextCheck:
        """Return the next time of the schedule after the claim: times that were missed are made up for by this one."""
        schedule = self.claim.repository.schedule
        if schedule is None:
            return NextCheck(scheduled=None)
        with suppress(InvalidInputError):
            return NextCheck(scheduled=next_time(schedule, self.claim.claimed_at))
        return NextCheck(scheduled=self.claim.claimed_at + timedelta(days=1))  # written by another program

    def _next_at(self, at: datetime | None) -> NextCheck:
        """Return that time as the next check, in the column in which it is found."""
        scheduled = self.claim.repository.schedule is not None
        return NextCheck(scheduled=at) if scheduled else NextCheck(scheduled=None, again=at)

    def _require(self, done: bool) -> None:  # noqa: FBT001 - the result of a write
        if not done:
            raise LeaseLostError("the claim of the check was lost, or the repository was removed")

    async def abandon(self) -> None:
        """Release the claim for another worker."""
        async with self.services.database.unit_of_work() as work:
            await CheckRepository(work).abandon(self.claim)

    def record(self, outcome: str, *, reason: str | None = None) -> None:
        """Count the check, and log one that did not succeed."""
        REPOSITORY_CHECKS.labels(outcome).inc()
        if reason is not None:
            fields = {"repository_id": str(self.claim.repository.repository_id), "outcome": outcome}
            log.warning("repository.check_failed", **fields, failures=self.claim.repository.failures, reason=reason)
