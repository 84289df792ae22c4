"""Any order of what two workers, the upkeep and an owner may do: the rows are what a model of them says, always."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import CancelledByUserError, IllegalTransitionError, InvalidInputError, LeaseLostError
from domain.jobs import MAX_ATTEMPTS, Claim, JobStatus, Transition
from infrastructure.database.engine import Database, create_engine
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.urls import asyncpg_url
from tests.faults.transition_audit import CREATE_AUDIT, SUM_UP
from tests.fixtures.jobs import UPLOAD, new_run, new_user, submit
from tests.fuzz.generators import tried

T = TypeVar("T")
PENDING, RUNNING, COMPLETED, FAILED = JobStatus
SETTINGS = tried(20, stateful_step_count=40, phases=[Phase.generate])
"""Not shrunk: each step is a transaction or two, and the steps that have failed are printed anyhow."""

_ROWS = "SELECT job_id, status, attempt, jsonb_array_length(attempt_errors) AS errors FROM jobs"
_EXPIRE = "UPDATE jobs SET lease_expires_at = statement_timestamp() - interval '1 second' WHERE job_id = :job_id"


@dataclass
class Expected:
    """One job as it must be."""

    user_id: UUID
    number: int
    status: JobStatus = PENDING
    attempt: int = 0
    errors: int = 0
    token: UUID | None = None
    expired: bool = False
    cancelled: bool = False
    keeps_upload: bool = True

    def end(self, status: JobStatus) -> None:
        self.status, self.token, self.expired = status, None, False
        if status is COMPLETED or self.cancelled:
            self.keeps_upload = False

    def release(self, *, counts: bool) -> None:
        self.errors += counts
        over = self.cancelled or (counts and self.errors >= MAX_ATTEMPTS)
        self.end(FAILED if over else PENDING)


class Repositories:
    """What an action of the machine works with, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.attempts = AttemptRepository(connection)
        self.jobs = JobRepository(connection)
        self.maintenance = MaintenanceRepository(connection)


@dataclass
class World:
    """The database, a loop to reach it from a machine that is not asynchronous, and what has been told so far."""

    database: Database
    run: Callable[[Awaitable[Any]], Any]
    jobs: dict[str, Expected] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)


def unless_none(act: Callable[["LifeOfAJob", Claim], None]) -> Callable[["LifeOfAJob", Claim | None], None]:
    """A claim that found nothing is in the bundle, too: how much is drawn must not depend on who wins a race."""

    def unless(machine: "LifeOfAJob", claim: Claim | None) -> None:
        if claim is not None:
            act(machine, claim)

    unless.__name__ = act.__name__
    return unless


class LifeOfAJob(RuleBasedStateMachine):
    """Claims stay in the bundle after they are lost: whoever holds one then is a zombie, and tries all the same."""

    world: World
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def do(self, act: Callable[[Repositories], Awaitable[T]]) -> T:
        result: T = self.together([act])[0]
        return result

    def together(self, acts: Sequence[Callable[[Repositories], Awaitable[Any]]]) -> list[Any]:
        """Each on a connection of its own, at once; a refusal is that act's result."""

        async def one(act: Callable[[Repositories], Awaitable[Any]]) -> Any:
            async with self.world.database.unit_of_work() as work:
                return await act(Repositories(work))

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*map(one, acts), return_exceptions=len(acts) > 1)

        return list(self.world.run(all_of_them()))

    def holds(self, claim: Claim) -> bool:
        return self.model(claim).token == claim.lease_token

    def model(self, claim: Claim) -> Expected:
        gone = Expected(claim.job.user_id, -1, FAILED)
        return self.world.jobs.get(claim.job.job_id, gone)

    @initialize()
    def begin(self) -> None:
        self.world.jobs, self.world.runs = {}, set()
        self.ask("TRUNCATE users, jobs, analysis_runs, daily_usage, job_transitions CASCADE")

    def ask(self, query: str, **values: Any) -> Any:
        async def rows() -> Any:
            async with self.world.database.unit_of_work() as work:
                result = await work.execute(text(query), values)
                return result.all() if result.returns_rows else None

        return self.world.run(rows())

    @rule(target=jobs, user=st.sampled_from(["a", "b"]))
    def submit(self, user: str) -> str:
        user_id = self.world.run(new_user(self.world.database, f"{user}@example.org"))
        job = self.world.run(submit(self.world.database, user_id, UPLOAD))
        self.world.jobs[job.job_id] = Expected(user_id, next(self.world.numbers))
        return str(job.job_id)

    def due(self) -> list[str]:
        """The ids of pending jobs, the fairest first."""
        jobs = self.world.jobs
        busy = [job.user_id for job in jobs.values() if job.status is RUNNING]
        pending = [job_id for job_id, job in jobs.items() if job.status is PENDING]
        return sorted(pending, key=lambda job_id: (busy.count(jobs[job_id].user_id), jobs[job_id].number))

    def claimed(self, claim: Claim) -> None:
        job = self.world.jobs[claim.job.job_id]
        assert job.status is PENDING
        job.status, job.token, job.attempt = RUNNING, claim.lease_token, job.attempt + 1
        assert claim.job.attempt == job.attempt

    @rule(target=claims)
    def claim(self) -> Claim | None:
        due = self.due()
        claim = self.do(lambda to: to.attempts.claim_next(30))
        assert (claim and claim.job.job_id) == (due[0] if due else None)
        if claim is not None:
            self.claimed(claim)
        return claim

    @rule()
    def claim_at_once_and_requeue(self) -> None:
        due = self.due()
        found = [claim for claim in self.together([lambda to: to.attempts.claim_next(30)] * 2) if claim is not None]
        assert len({claim.job.job_id for claim in found}) == len(found) <= len(due)
        assert found or not due
        for claim in found:
            self.claimed(claim)
            self.requeue(claim)

    @rule(claim=claims)
    @unless_none
    def heartbeat(self, claim: Claim) -> None:
        state = LeaseState(job_id=claim.job.job_id, token=claim.lease_token, progress=7)
        job, answer = self.model(claim), self.do(lambda to: to.attempts.renew_leases([state], 30))
        assert answer == ({claim.job.job_id: job.cancelled} if self.holds(claim) else {})
        job.expired = job.expired and not self.holds(claim)

    @rule(claim=claims)
    @unless_none
    def expire(self, claim: Claim) -> None:
        if self.holds(claim):
            self.ask(_EXPIRE, job_id=claim.job.job_id)
            self.model(claim).expired = True

    @rule()
    def rescue(self) -> None:
        lost = {job_id for job_id, job in self.world.jobs.items() if job.expired}
        released = self.do(lambda to: to.maintenance.rescue_expired(100))
        assert {one.job_id for one in released} == lost
        for job_id in lost:
            self.world.jobs[job_id].release(counts=True)

    async def _finish(self, to: Repositories, claim: Claim) -> bool:
        run = new_run(claim.job.user_id, claim.job.job_id)
        async with to.connection.begin_nested() as saved:
            await RunRepository(to.connection).insert(run)
            done = await to.attempts.complete(claim.job.job_id, claim.lease_token, run.run_id)
            if not done:
                await saved.rollback()
        return done

    @rule(claim=consumes(claims))
    @unless_none
    def finish(self, claim: Claim) -> None:
        (done,) = self.together_or_refused([lambda to: self._finish(to, claim)])
        job = self.model(claim)
        if not self.holds(claim):
            assert done is False or isinstance(done, LeaseLostError)
        elif job.cancelled:
            assert isinstance(done, CancelledByUserError)
        else:
            assert done is True
            job.end(COMPLETED)
            self.world.runs.add(claim.job.job_id)

    def together_or_refused(self, acts: list[Callable[[Repositories], Awaitable[Any]]]) -> list[Any]:
        async def nothing(_: Repositories) -> None:
            pass

        return self.together([*acts, nothing])[: len(acts)]

    @rule(claim=consumes(claims))
    @unless_none
    def finish_while_it_is_rescued(self, claim: Claim) -> None:
        self.expire(claim)
        others = {job_id for job_id, job in self.world.jobs.items() if job.expired} - {claim.job.job_id}
        held, job = self.holds(claim), self.model(claim)
        done, released = self.together(
            [lambda to: self._finish(to, claim), lambda to: to.maintenance.rescue_expired(100)]
        )
        for job_id in others:
            self.world.jobs[job_id].release(counts=True)
        rescued = claim.job.job_id in {one.job_id for one in released}
        if done is True:
            assert held
            assert not job.cancelled
            assert not rescued
            job.end(COMPLETED)
            self.world.runs.add(claim.job.job_id)
        elif rescued:
            assert held
            job.release(counts=True)
        else:
            assert not held or (job.cancelled and isinstance(done, CancelledByUserError))

    @rule(claim=consumes(claims))
    @unless_none
    def fail(self, claim: Claim) -> None:
        done = self.do(lambda to: to.attempts.fail(claim.job.job_id, claim.lease_token, "permanent", "it is broken"))
        assert done is self.holds(claim)
        if done:
            self.model(claim).errors += 1
            self.model(claim).end(FAILED)

    @rule(claim=consumes(claims))
    @unless_none
    def retry_later(self, claim: Claim) -> None:
        released = self.do(
            lambda to: to.attempts.retry_later(claim.job.job_id, claim.lease_token, "network", "away", delay_seconds=0)
        )
        held, job = self.holds(claim), self.model(claim)
        assert (released is not None) is held
        if released is not None:
            job.release(counts=True)
            assert released.status is job.status

    @rule(claim=consumes(claims))
    @unless_none
    def requeue(self, claim: Claim) -> None:
        number = self.do(lambda to: to.attempts.requeue(claim.job.job_id, claim.lease_token))
        job, held = self.model(claim), self.holds(claim)
        assert (number is not None) is (held and not job.cancelled)
        if held:
            job.release(counts=False)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if job_id not in self.world.jobs:
            return
        job = self.world.jobs[job_id]
        if not job.status.finished:
            job.cancelled = True
        if job.status is PENDING:
            job.end(FAILED)
        assert self.do(lambda to: to.jobs.request_cancel(job_id)).status is job.status

    @rule(job_id=jobs)
    def retry(self, job_id: str) -> None:
        if job_id not in self.world.jobs:
            return
        job = self.world.jobs[job_id]
        (again,) = self.together_or_refused([lambda to: to.jobs.retry_failed(job_id)])
        if job.status is not FAILED:
            assert isinstance(again, IllegalTransitionError)
        elif not job.keeps_upload:
            assert isinstance(again, InvalidInputError)
        else:
            assert again.status is PENDING
            job.status, job.errors, job.cancelled = PENDING, 0, False

    @rule(deleting=st.booleans())
    def clean(self, deleting: bool) -> None:
        retention = 0 if deleting else 3600
        counts = self.do(lambda to: to.maintenance.cleanup(retention=retention, stale=0, pending_max_age=3600))
        jobs = self.world.jobs
        if deleting:
            ended = [job_id for job_id, job in jobs.items() if job.status.finished]
            for job_id in ended:
                del jobs[job_id]
            assert counts.deleted == len(ended)
        stale = [job for job in jobs.values() if job.expired]
        assert (counts.stale_running, counts.stale_pending) == (len(stale), 0)
        for job in stale:
            job.end(FAILED)

    @invariant()
    def rows_are_as_expected(self) -> None:
        rows = {row.job_id: (row.status, row.attempt, row.errors) for row in self.ask(_ROWS)}
        assert rows == {job_id: (job.status, job.attempt, job.errors) for job_id, job in self.world.jobs.items()}

    def teardown(self) -> None:
        for was, becomes in self.ask("SELECT DISTINCT was, becomes FROM job_transitions WHERE was IS NOT NULL"):
            assert (was, becomes) in {(change.before, change.after) for change in Transition}
        (cost,) = self.ask(SUM_UP)
        assert cost.doubled == 0
        assert {row.job_id for row in self.ask("SELECT job_id FROM analysis_runs")} == self.world.runs


def test_any_order_of_everything_is_what_the_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(create_engine(asyncpg_url(database_url), pool_size=4, max_overflow=4))
        LifeOfAJob.world = World(database, runner.run)  # type: ignore[arg-type]

        async def keep() -> None:
            async with database.unit_of_work() as work:
                for statement in CREATE_AUDIT:
                    await work.execute(text(statement))

        runner.run(keep())
        try:
            run_state_machine_as_test(LifeOfAJob, settings=SETTINGS)
        finally:
            runner.run(database.close())
