"""Random actions on many connections at once: no deadlock, no unexpected error, consistent rows."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from uuid import UUID

from sqlalchemy import text

from domain.errors import (
    CancelledByUserError,
    IllegalTransitionError,
    InvalidInputError,
    LeaseLostError,
    LimitExceededError,
    NotFoundError,
    Vibe8Error,
)
from domain.jobs import FINISHED_STATUSES, Claim, Transition
from domain.plans import PlanLimits, Plans
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import EndResult
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.users import UserRepository
from tests.faults.support.transition_audit import CREATE_AUDIT, SUM_UP
from tests.fixtures.jobs import UPLOAD, claim_next, end_attempt, new_run, new_user, submit
from worker.client.accounts.usage import require_room

ACTORS = 16
ACTIONS_OF_AN_ACTOR = 90
LIMITS = Plans.same(PlanLimits(unfinished_jobs=5, jobs_per_day=10_000))
EMAILS = [f"{number}@example.org" for number in range(4)]

EXPECTED_ERRORS: Mapping[str, tuple[type[Vibe8Error], ...]] = {
    "submit": (LimitExceededError, NotFoundError),
    "complete": (LeaseLostError, CancelledByUserError),
    "cancel": (NotFoundError,),
    "retry_failed": (IllegalTransitionError, InvalidInputError, LimitExceededError, NotFoundError),
    "delete_user": (NotFoundError,),
    "pin": (NotFoundError,),
}
"""Action to the errors that concurrent actions may cause in it. The other actions must not raise."""

INCONSISTENT = """
    SELECT job_id, status FROM jobs WHERE jsonb_array_length(attempt_errors) > 3 OR NOT CASE status
        WHEN 'pending' THEN lease_token IS NULL AND finished_at IS NULL AND cancel_requested_at IS NULL
        WHEN 'running' THEN lease_token IS NOT NULL AND lease_expires_at IS NOT NULL AND finished_at IS NULL
        WHEN 'completed' THEN lease_token IS NULL AND finished_at IS NOT NULL AND NOT source_metadata ? 'file_data'
            AND (EXISTS (SELECT 1 FROM analysis_runs WHERE run_id = result_run_id AND job_id = jobs.job_id)
                OR result_run_id IS NULL AND EXISTS (SELECT 1 FROM deleted_runs WHERE job_id = jobs.job_id))
        WHEN 'failed' THEN lease_token IS NULL AND finished_at IS NOT NULL AND error_message IS NOT NULL
    END
"""
RECORD_DELETED_RUNS = (
    "CREATE TABLE deleted_runs (job_id text)",
    """CREATE FUNCTION record_deleted_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO deleted_runs (job_id) VALUES (OLD.job_id);
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER record_deleted_run AFTER DELETE ON analysis_runs
        FOR EACH ROW EXECUTE FUNCTION record_deleted_run()""",
)
PINNED_TWICE = """
    SELECT 1 FROM analysis_runs WHERE pinned GROUP BY user_id, project_key HAVING count(*) > 1
"""
OVER_THE_LIMIT = "SELECT 1 FROM jobs WHERE status IN ('pending', 'running') GROUP BY user_id HAVING count(*) > 5"


class Actor:
    """Performs random actions one after the other, and counts their outcomes."""

    def __init__(self, database: Database, seed: int, outcomes: Counter[tuple[str, str]]) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._claims: list[Claim] = []
        self._outcomes = outcomes
        self._actions: list[Callable[[], Awaitable[bool]]] = [
            *[self.submit] * 4, *[self.claim] * 4, *[self.complete] * 2, self.heartbeat, self.fail, self.retry_later,
            self.requeue, self.rescue, self.cancel, self.retry_failed, self.delete_job, self.delete_user, self.cleanup,
            self.delete_run, self.pin,
        ]  # fmt: skip

    async def act(self) -> None:
        action = self._random.choice(self._actions)
        name = action.__name__
        try:
            outcome = "done" if await action() else "nothing to do"
        except EXPECTED_ERRORS.get(name, ()) as error:
            outcome = type(error).__name__
        self._outcomes[name, outcome] += 1

    async def user(self) -> UUID:
        return await new_user(self._database, self._random.choice(EMAILS))

    async def job_id(self) -> str:
        async with self._database.unit_of_work() as connection:
            return str(await connection.scalar(text("SELECT job_id FROM jobs ORDER BY random() LIMIT 1")))

    async def failed_job_id(self) -> str:
        """Prefer a job that can be retried, since few can."""
        query = "SELECT job_id FROM jobs ORDER BY (status = 'failed' AND source_metadata ? 'file_data') DESC LIMIT 1"
        async with self._database.unit_of_work() as connection:
            return str(await connection.scalar(text(query)))

    def take_claim(self) -> Claim | None:
        return self._claims.pop(self._random.randrange(len(self._claims))) if self._claims else None

    async def submit(self) -> bool:
        key = self._random.choice([None, None, None, "a", "b"])
        await submit(self._database, await self.user(), UPLOAD, limits=LIMITS, idempotency_key=key)
        return True

    async def run_id(self) -> UUID | None:
        async with self._database.unit_of_work() as connection:
            found = await connection.scalar(text("SELECT run_id FROM analysis_runs ORDER BY random() LIMIT 1"))
        return None if found is None else UUID(str(found))

    async def claim(self) -> bool:
        lease_seconds = self._random.choice([30, 0])  # one of 0 s has expired at once and can be rescued
        async with self._database.unit_of_work() as connection:
            await ClaimRepository(connection).assign_turns(1_000)
        async with self._database.unit_of_work() as connection:
            claims = await ClaimRepository(connection).claim(1, worker_id="test", lease_seconds=lease_seconds)
        self._claims += claims
        return bool(claims)

    async def complete(self) -> bool:
        claim = self.take_claim()
        if claim is None:
            return False
        run = replace(new_run(claim.job.user_id, claim.job.job_id), baseline_run_id=await self.run_id())
        async with self._database.unit_of_work() as connection:
            result = await end_attempt(connection, claim, run)
        if result is EndResult.LOST:
            raise LeaseLostError("too late")
        return result is EndResult.WRITTEN

    async def heartbeat(self) -> bool:
        states = [LeaseState(job_id=claim.job.job_id, token=claim.lease_token, progress=5) for claim in self._claims]
        async with self._database.unit_of_work() as connection:
            return bool(await AttemptRepository(connection).renew_leases(states, 30))

    async def fail(self) -> bool:
        claim = self.take_claim()
        if claim is None:
            return False
        async with self._database.unit_of_work() as connection:
            return await end_attempt(connection, claim) is not EndResult.LOST

    async def retry_later(self) -> bool:
        claim = self.take_claim()
        if claim is None:
            return False
        job_id, token = claim.job.job_id, claim.lease_token
        async with self._database.unit_of_work() as connection:
            released = await AttemptRepository(connection).retry_later(job_id, token, "x", "x", delay_seconds=0)
        return released is not None

    async def requeue(self) -> bool:
        claim = self.take_claim()
        if claim is None:
            return False
        async with self._database.unit_of_work() as connection:
            return await AttemptRepository(connection).requeue(claim.job.job_id, claim.lease_token) is not None

    async def rescue(self) -> bool:
        async with self._database.unit_of_work() as connection:
            return bool(await MaintenanceRepository(connection).rescue_expired(5))

    async def cancel(self) -> bool:
        job_id = await self.job_id()
        async with self._database.unit_of_work() as connection:
            return (await JobRepository(connection).request_cancel(job_id)).cancel_requested_at is not None

    async def retry_failed(self) -> bool:
        job_id = await self.failed_job_id()
        async with self._database.unit_of_work() as connection:
            jobs = JobRepository(connection)
            user_id = (await jobs.get(job_id)).user_id
            await require_room(connection, user_id, LIMITS)
            await jobs.retry_failed(job_id)
        return True

    async def delete_job(self) -> bool:
        job_id = await self.job_id()
        async with self._database.unit_of_work() as connection:
            return await JobRepository(connection).delete(job_id)

    async def delete_user(self) -> bool:
        if self._random.random() >= 0.2:
            return False
        user_id = await self.user()
        async with self._database.unit_of_work() as connection:
            users = UserRepository(connection)
            if self._random.random() < 0.5:
                await users.delete_jobs(user_id, 3)
                return True
            await users.delete(user_id, 100)
        return True

    async def delete_run(self) -> bool:
        run_id = await self.run_id()
        async with self._database.unit_of_work() as connection:
            return run_id is not None and await RunRepository(connection).delete(run_id)

    async def pin(self) -> bool:
        run_id = await self.run_id()
        if run_id is None:
            return False
        async with self._database.unit_of_work() as connection:
            await RunRepository(connection).pin(run_id)
            return (await RunRepository(connection).summary(run_id)).pinned

    async def cleanup(self) -> bool:
        async with self._database.unit_of_work() as connection:
            status = self._random.choice(FINISHED_STATUSES)
            cleaned = await CleanupRepository(connection).delete_finished(status, 0.5, 5)
        async with self._database.unit_of_work() as connection:
            await CleanupRepository(connection).fail_stale_running(7200, 5)
            await CleanupRepository(connection).fail_stale_pending(86400, 5)
        async with self._database.unit_of_work() as connection:
            await CleanupRepository(connection).delete_old_runs(0.5, 5)
        return cleaned.rows > 0


async def test_concurrent_actions_cause_no_deadlock_and_leave_consistent_rows(database: Database) -> None:
    outcomes: Counter[tuple[str, str]] = Counter()

    async def live(seed: int) -> None:
        actor = Actor(database, seed, outcomes)
        for _ in range(ACTIONS_OF_AN_ACTOR):
            await actor.act()

    async with database.unit_of_work() as connection:
        for statement in (*CREATE_AUDIT, *RECORD_DELETED_RUNS):
            await connection.execute(text(statement))
    await asyncio.gather(*(live(seed) for seed in range(ACTORS)))
    assert outcomes.total() == ACTORS * ACTIONS_OF_AN_ACTOR
    succeeded = {name for name, outcome in outcomes if outcome == "done"}
    assert succeeded == {name for name, _ in outcomes}, outcomes  # otherwise what follows proves nothing
    async with database.unit_of_work() as connection:
        assert (await connection.execute(text(INCONSISTENT))).all() == []
        assert (await connection.execute(text(OVER_THE_LIMIT))).all() == []
        assert (await connection.execute(text(PINNED_TWICE))).all() == []
        changes = await connection.execute(text("SELECT DISTINCT was, becomes FROM job_transitions WHERE was <> ''"))
        assert {tuple(row) for row in changes} == {(change.before, change.after) for change in Transition}
        assert (await connection.execute(text(SUM_UP))).one().doubled == 0


async def test_only_one_of_two_results_of_a_job_is_written(database: Database) -> None:
    """The lease token alone ensures it: the test removes the unique index that would ensure it too."""
    await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        await connection.execute(text("DROP INDEX ix_analysis_runs_job_id"))
        claim = await claim_next(connection, 30)
    assert claim is not None

    async def finish() -> bool:
        run = new_run(claim.job.user_id, uuid.uuid4().hex)
        async with database.unit_of_work() as connection:
            return await end_attempt(connection, claim, run) is EndResult.WRITTEN

    assert sorted(await asyncio.gather(*(finish() for _ in range(10)))) == [False] * 9 + [True]
