"""Any order of actions of workers, maintenance and owners: the rows always agree with a model of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from domain.errors import IllegalTransitionError, InvalidInputError
from domain.jobs import Claim, Transition
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine
from infrastructure.database.repositories.attempt_ends import EndResult
from infrastructure.database.repositories.attempts import LeaseState
from infrastructure.database.repositories.cleanup import CleanedChunk
from tests.faults.support.transition_audit import CREATE_AUDIT, SUM_UP
from tests.fixtures.jobs import UPLOAD, claim_next, end_attempt, new_run, new_user, submit
from tests.fuzz.generators import fuzz_settings
from tests.integration.infrastructure.database.job_model import (
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    Expected,
    Repositories,
    Shared,
)

T = TypeVar("T")
TRANSITIONS = {(change.before, change.after) for change in Transition}
SETTINGS = fuzz_settings(20, stateful_step_count=40, phases=[Phase.generate])
"""Failures are not shrunk: each step is a transaction or two, and Hypothesis prints the failed steps anyway."""

_ROWS = "SELECT job_id, status, attempt, jsonb_array_length(attempt_errors) AS errors FROM jobs"
_EXPIRE = "UPDATE jobs SET lease_expires_at = statement_timestamp() - interval '1 second' WHERE job_id = :job_id"


def skip_none(act: Callable[["JobStateMachine", Claim], None]) -> Callable[["JobStateMachine", Claim | None], None]:
    """Skip a rule for a claim that found nothing.

    Such claims are in the bundle too, so that the number of draws does not depend on the outcome of a race.
    """

    def unless(machine: "JobStateMachine", claim: Claim | None) -> None:
        if claim is not None:
            act(machine, claim)

    unless.__name__ = act.__name__
    return unless


class JobStateMachine(RuleBasedStateMachine):
    """Claims stay in the bundle after their lease is lost, so that later steps try to write under a lost lease."""

    shared: Shared
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def run_one(self, act: Callable[[Repositories], Awaitable[T]]) -> T:
        result: T = self.run_concurrently([act])[0]
        return result

    def run_concurrently(self, acts: Sequence[Callable[[Repositories], Awaitable[Any]]]) -> list[Any]:
        """Run the actions concurrently, each on its own connection; an error is the result of its action."""

        async def one(act: Callable[[Repositories], Awaitable[Any]]) -> Any:
            async with self.shared.database.unit_of_work() as work:
                return await act(Repositories(work))

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*map(one, acts), return_exceptions=len(acts) > 1)

        return list(self.shared.run(all_of_them()))

    def holds(self, claim: Claim) -> bool:
        return self.model(claim).token == claim.lease_token

    def model(self, claim: Claim) -> Expected:
        gone = Expected(claim.job.user_id, -1, FAILED)
        return self.shared.jobs.get(claim.job.job_id, gone)

    @initialize(target=jobs)
    def begin(self) -> MultipleResults[str]:
        """Start with a failed and three pending jobs: Hypothesis leaves rules out of an example, often `submit`."""
        self.shared.jobs, self.shared.runs = {}, set()
        self.query("TRUNCATE users, jobs, analysis_runs, daily_usage, job_transitions CASCADE")
        self.query("SELECT setval('queue_turn', 0)")
        failed = self.submit_for("a")
        self.fail(self.claim())
        return multiple(failed, *(self.submit_for(user) for user in ("a", "a", "b")))

    def query(self, statement: str, **values: Any) -> Any:
        async def rows() -> Any:
            async with self.shared.database.unit_of_work() as work:
                result = await work.execute(text(statement), values)
                return result.all() if result.returns_rows else None

        return self.shared.run(rows())

    @rule(target=jobs, user=st.sampled_from(["a", "b"]))
    def submit(self, user: str) -> str:
        return self.submit_for(user)

    def submit_for(self, user: str) -> str:
        user_id = self.shared.run(new_user(self.shared.database, f"{user}@example.org"))
        job = self.shared.run(submit(self.shared.database, user_id, UPLOAD))
        expected = Expected(user_id, next(self.shared.numbers), turn=self.next_turn(user_id))
        self.shared.jobs[job.job_id] = expected
        assert job.turn == expected.turn
        return str(job.job_id)

    def claimed_turn(self) -> int:
        """Read the turn that has been claimed last: concurrent claims may set it in either order."""
        ((turn,),) = self.query("SELECT last_value FROM queue_turn")
        return int(turn)

    def next_turn(self, user_id: UUID) -> int:
        """Compute the turn of the user's next job."""
        waiting = [job for job in self.shared.jobs.values() if job.status is PENDING and job.user_id == user_id]
        return max([self.claimed_turn() + 1, *(job.turn + 2 for job in waiting if job.turn is not None)])

    def due(self) -> list[str]:
        """List the ids of pending jobs in the order in which they must be claimed; deferred ones get a turn."""
        jobs = {job_id: job for job_id, job in self.shared.jobs.items() if job.status is PENDING}
        for job in jobs.values():
            job.turn = self.claimed_turn() + 1 if job.turn is None else job.turn
        return sorted(jobs, key=lambda job_id: (jobs[job_id].turn, jobs[job_id].number))

    def claimed(self, claim: Claim) -> None:
        job = self.shared.jobs[claim.job.job_id]
        assert job.status is PENDING
        assert job.turn == claim.job.turn
        job.status, job.token, job.attempt = RUNNING, claim.lease_token, job.attempt + 1
        assert claim.job.attempt == job.attempt

    @rule(target=claims)
    def claim(self) -> Claim | None:
        due = self.due()
        claim = self.run_one(lambda to: claim_next(to.connection, 30))
        assert (claim and claim.job.job_id) == (due[0] if due else None)
        if claim is not None:
            self.claimed(claim)
        return claim

    @rule()
    def claim_at_once_and_requeue(self) -> None:
        due = self.due()
        found = [
            claim
            for claim in self.run_concurrently([lambda to: claim_next(to.connection, 30)] * 2)
            if claim is not None
        ]
        assert len({claim.job.job_id for claim in found}) == len(found) <= len(due)
        assert bool(found) is bool(due)
        for claim in found:
            self.claimed(claim)
            self.requeue(claim)

    @rule(claim=claims)
    @skip_none
    def heartbeat(self, claim: Claim) -> None:
        state = LeaseState(job_id=claim.job.job_id, token=claim.lease_token, progress=7)
        job, answer = self.model(claim), self.run_one(lambda to: to.attempts.renew_leases([state], 30))
        assert answer == ({claim.lease_token: job.cancelled} if self.holds(claim) else {})
        job.expired = job.expired and not self.holds(claim)

    @rule(claim=claims)
    @skip_none
    def expire(self, claim: Claim) -> None:
        if self.holds(claim):
            self.query(_EXPIRE, job_id=claim.job.job_id)
            self.model(claim).expired = True

    @rule()
    def rescue(self) -> None:
        lost = {job_id for job_id, job in self.shared.jobs.items() if job.expired}
        released = self.run_one(lambda to: to.maintenance.rescue_expired(100))
        assert {one.job_id for one in released} == lost
        for job_id in lost:
            self.shared.jobs[job_id].release(counts=True)

    async def _finish(self, to: Repositories, claim: Claim) -> EndResult:
        return await end_attempt(to.connection, claim, new_run(claim.job.user_id, claim.job.job_id))

    @rule(claim=consumes(claims))
    @skip_none
    def finish(self, claim: Claim) -> None:
        result, job = self.run_one(lambda to: self._finish(to, claim)), self.model(claim)
        if not self.holds(claim):
            assert result is EndResult.LOST
        elif job.cancelled:
            assert result is EndResult.CANCELLED
            job.errors += 1
            job.end(FAILED)
        else:
            assert result is EndResult.WRITTEN
            job.end(COMPLETED)
            self.shared.runs.add(claim.job.job_id)

    def run_returning_errors(self, acts: list[Callable[[Repositories], Awaitable[Any]]]) -> list[Any]:
        async def nothing(_: Repositories) -> None:
            pass

        return self.run_concurrently([*acts, nothing])[: len(acts)]

    @rule(claim=consumes(claims))
    @skip_none
    def finish_while_it_is_rescued(self, claim: Claim) -> None:
        self.expire(claim)
        others = {job_id for job_id, job in self.shared.jobs.items() if job.expired} - {claim.job.job_id}
        held, job = self.holds(claim), self.model(claim)
        result, released = self.run_concurrently(
            [lambda to: self._finish(to, claim), lambda to: to.maintenance.rescue_expired(100)]
        )
        for job_id in others:
            self.shared.jobs[job_id].release(counts=True)
        rescued = claim.job.job_id in {one.job_id for one in released}
        assert (result is not EndResult.LOST, rescued).count(True) == held
        if rescued:
            job.release(counts=True)
        elif result is EndResult.WRITTEN:
            assert not job.cancelled
            job.end(COMPLETED)
            self.shared.runs.add(claim.job.job_id)
        elif result is EndResult.CANCELLED:
            assert job.cancelled
            job.errors += 1
            job.end(FAILED)

    @rule(claim=consumes(claims))
    @skip_none
    def fail(self, claim: Claim) -> None:
        result, job = self.run_one(lambda to: end_attempt(to.connection, claim)), self.model(claim)
        if not self.holds(claim):
            assert result is EndResult.LOST
        else:
            assert result is (EndResult.CANCELLED if job.cancelled else EndResult.WRITTEN)
            job.errors += 1
            job.end(FAILED)

    @rule(claim=consumes(claims))
    @skip_none
    def retry_later(self, claim: Claim) -> None:
        released = self.run_one(
            lambda to: to.attempts.retry_later(claim.job.job_id, claim.lease_token, "network", "away", delay_seconds=0)
        )
        held, job = self.holds(claim), self.model(claim)
        assert (released is not None) is held
        if released is not None:
            job.release(counts=True, deferred=True)
            assert released.status is job.status

    @rule(claim=consumes(claims))
    @skip_none
    def requeue(self, claim: Claim) -> None:
        released = self.run_one(lambda to: to.attempts.requeue(claim.job.job_id, claim.lease_token))
        job, held = self.model(claim), self.holds(claim)
        assert (released is not None) is held
        if released is not None:
            job.release(counts=False)
            assert released.status is job.status

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if job_id not in self.shared.jobs:
            return
        job = self.shared.jobs[job_id]
        if not job.status.finished:
            job.cancelled = True
        if job.status is PENDING:
            job.end(FAILED)
        assert self.run_one(lambda to: to.jobs.request_cancel(job_id)).status is job.status

    @rule(job_id=jobs, prefer_failed=st.booleans())
    def retry(self, job_id: str, *, prefer_failed: bool) -> None:
        failed = [job_id for job_id, job in self.shared.jobs.items() if job.status is FAILED and job.keeps_upload]
        if prefer_failed and failed:  # a random job can rarely be retried
            job_id = failed[0]
        if job_id not in self.shared.jobs:
            return
        job = self.shared.jobs[job_id]
        (again,) = self.run_returning_errors([lambda to: to.jobs.retry_failed(job_id)])
        if job.status is not FAILED:
            assert isinstance(again, IllegalTransitionError)
        elif not job.keeps_upload:
            assert isinstance(again, InvalidInputError)
        else:
            assert again.status is PENDING
            job.turn = self.next_turn(job.user_id)
            job.status, job.errors, job.cancelled = PENDING, 0, False
            assert again.turn == job.turn

    @rule(deleting=st.booleans())
    def clean(self, deleting: bool) -> None:
        retention = 0 if deleting else 3600
        steps: list[Callable[[Repositories], Awaitable[CleanedChunk]]] = [
            *(
                lambda to, status=status: to.cleanup.delete_finished(status, retention, 1_000)
                for status in (COMPLETED, FAILED)
            ),
            lambda to: to.cleanup.fail_stale_running(0, 1_000),
            lambda to: to.cleanup.fail_stale_pending(3600, 1_000),
        ]
        completed, failed, stale_running, stale_pending = (self.run_one(step).rows for step in steps)
        jobs = self.shared.jobs
        if deleting:
            ended = [job_id for job_id, job in jobs.items() if job.status.finished]
            for job_id in ended:
                del jobs[job_id]
            assert completed + failed == len(ended)
        stale = [job for job in jobs.values() if job.expired]
        assert (stale_running, stale_pending) == (len(stale), 0)
        for job in stale:
            job.end(FAILED)

    @invariant()
    def rows_are_as_expected(self) -> None:
        rows = {row.job_id: (row.status, row.attempt, row.errors) for row in self.query(_ROWS)}
        assert rows == {job_id: (job.status, job.attempt, job.errors) for job_id, job in self.shared.jobs.items()}

    def teardown(self) -> None:
        changes = self.query("SELECT DISTINCT was, becomes FROM job_transitions WHERE was IS NOT NULL")
        self.shared.changes |= {(was, becomes) for was, becomes in changes}
        assert self.shared.changes <= TRANSITIONS
        (cost,) = self.query(SUM_UP)
        assert cost.doubled == 0
        assert {row.job_id for row in self.query("SELECT job_id FROM analysis_runs")} == self.shared.runs


def test_any_order_of_actions_agrees_with_the_model(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(create_engine(asyncpg_url(database_url), pool_size=4, max_overflow=4))
        JobStateMachine.shared = Shared(database, runner.run)  # type: ignore[arg-type]

        async def create_audit() -> None:
            async with database.unit_of_work() as work:
                for statement in CREATE_AUDIT:
                    await work.execute(text(statement))

        runner.run(create_audit())
        try:
            run_state_machine_as_test(JobStateMachine, settings=SETTINGS)
            assert JobStateMachine.shared.changes == TRANSITIONS
        finally:
            runner.run(database.close())
