"""Everything at once: no deadlock, no unexpected error, and rows that make sense at the end."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import text

from domain.errors import (
    CancelledByUserError,
    IllegalTransitionError,
    InvalidInputError,
    LeaseLostError,
    LimitExceededError,
    NotFoundError,
)
from domain.jobs import Claim, SubmissionLimits
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.submissions import SubmissionRepository
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.jobs import UPLOAD, new_run, new_user, submit

EXPECTED = (
    CancelledByUserError,
    IllegalTransitionError,
    InvalidInputError,
    LeaseLostError,
    LimitExceededError,
    NotFoundError,
)
LIMITS = SubmissionLimits(max_unfinished=5, max_per_day=10_000)
EMAILS = [f"{number}@example.org" for number in range(4)]

NONSENSE = """
    SELECT job_id, status FROM jobs WHERE NOT CASE status
        WHEN 'pending' THEN lease_token IS NULL AND finished_at IS NULL AND cancel_requested_at IS NULL
        WHEN 'running' THEN lease_token IS NOT NULL AND lease_expires_at IS NOT NULL AND finished_at IS NULL
        WHEN 'completed' THEN lease_token IS NULL AND finished_at IS NOT NULL AND NOT source_metadata ? 'file_data'
            AND EXISTS (SELECT 1 FROM analysis_runs WHERE run_id = result_run_id AND job_id = jobs.job_id)
        WHEN 'failed' THEN lease_token IS NULL AND finished_at IS NOT NULL AND error_message IS NOT NULL
    END
"""


class Actor:
    """One of many, who does something at random again and again."""

    def __init__(self, database: Database, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._claims: list[Claim] = []

    async def act(self) -> None:
        actions: list[Callable[[], Awaitable[object]]] = [
            self.submit, self.submit, self.claim, self.claim, self.finish, self.finish, self.heartbeat,
            self.retry_later, self.requeue, self.rescue, self.cancel, self.retry_failed, self.delete_job,
            self.delete_user, self.cleanup,
        ]  # fmt: skip
        with contextlib.suppress(*EXPECTED):
            await self._random.choice(actions)()

    async def user(self) -> UUID:
        return await new_user(self._database, self._random.choice(EMAILS))

    async def job_id(self) -> str:
        async with self._database.unit_of_work() as connection:
            return str(await connection.scalar(text("SELECT job_id FROM jobs ORDER BY random() LIMIT 1")))

    async def submit(self) -> None:
        key = self._random.choice([None, "a", "b"])
        await submit(self._database, await self.user(), UPLOAD, limits=LIMITS, idempotency_key=key)

    async def claim(self) -> None:
        async with self._database.unit_of_work() as connection:
            # Some leases have run out as soon as they are given.
            claim = await AttemptRepository(connection).claim_next(self._random.choice([30, 0]))
        if claim is not None:
            self._claims.append(claim)

    def mine(self) -> Claim:
        if not self._claims:
            raise NotFoundError("nothing claimed")
        return self._claims.pop(self._random.randrange(len(self._claims)))

    async def finish(self) -> None:
        claim = self.mine()
        run = new_run(claim.job.user_id, claim.job.job_id)
        async with self._database.unit_of_work() as connection:
            await RunRepository(connection).insert(run)
            if not await AttemptRepository(connection).complete(claim.job.job_id, claim.lease_token, run.run_id):
                raise LeaseLostError("too late")

    async def heartbeat(self) -> None:
        states = [LeaseState(job_id=claim.job.job_id, token=claim.lease_token, progress=5) for claim in self._claims]
        async with self._database.unit_of_work() as connection:
            await AttemptRepository(connection).renew_leases(states, 30)

    async def retry_later(self) -> None:
        claim = self.mine()
        async with self._database.unit_of_work() as connection:
            await AttemptRepository(connection).retry_later(
                claim.job.job_id, claim.lease_token, "x", "x", delay_seconds=0
            )

    async def requeue(self) -> None:
        claim = self.mine()
        async with self._database.unit_of_work() as connection:
            await AttemptRepository(connection).requeue(claim.job.job_id, claim.lease_token)

    async def rescue(self) -> None:
        async with self._database.unit_of_work() as connection:
            await MaintenanceRepository(connection).rescue_expired(5)

    async def cancel(self) -> None:
        job_id = await self.job_id()
        async with self._database.unit_of_work() as connection:
            await JobRepository(connection).request_cancel(job_id)

    async def retry_failed(self) -> None:
        job_id = await self.job_id()
        async with self._database.unit_of_work() as connection:
            jobs = JobRepository(connection)
            user_id = (await jobs.get(job_id)).user_id
            await SubmissionRepository(connection).lock_user(user_id)
            LIMITS.check(unfinished=(await SubmissionRepository(connection).usage(user_id)).unfinished, today=0)
            await jobs.retry_failed(job_id)

    async def delete_job(self) -> None:
        job_id = await self.job_id()
        async with self._database.unit_of_work() as connection:
            await JobRepository(connection).delete(job_id)

    async def delete_user(self) -> None:
        if self._random.random() < 0.2:
            user_id = await self.user()
            async with self._database.unit_of_work() as connection:
                await UserRepository(connection).delete(user_id)

    async def cleanup(self) -> None:
        async with self._database.unit_of_work() as connection:
            await MaintenanceRepository(connection).cleanup(retention=0.5, stale=7200, pending_max_age=86400)
            await MaintenanceRepository(connection).reissue_wakeups(older_than_seconds=0, limit=5)


async def test_a_storm_leaves_no_deadlock_and_no_nonsense(database: Database) -> None:
    async def live(seed: int) -> None:
        actor = Actor(database, seed)
        for _ in range(60):
            await actor.act()

    await asyncio.gather(*(live(seed) for seed in range(16)))
    async with database.unit_of_work() as connection:
        assert (await connection.execute(text(NONSENSE))).all() == []
        over = "SELECT 1 FROM jobs WHERE status IN ('pending', 'running') GROUP BY user_id HAVING count(*) > 5"
        assert (await connection.execute(text(over))).all() == []
        assert (
            await connection.scalar(text("SELECT max(jsonb_array_length(attempt_errors)) <= 3 FROM jobs")) is not False
        )


async def test_two_results_of_one_job_cannot_both_be_kept(database: Database) -> None:
    """The fence alone, with the unique index that backs it taken away."""
    await submit(database, await new_user(database))
    async with database.unit_of_work() as connection:
        await connection.execute(text("DROP INDEX ix_analysis_runs_job_id"))
        claim = await AttemptRepository(connection).claim_next(30)
    assert claim is not None

    async def finish() -> bool:
        run = new_run(claim.job.user_id, uuid.uuid4().hex)
        async with database.unit_of_work() as connection:
            await RunRepository(connection).insert(run)
            return await AttemptRepository(connection).complete(claim.job.job_id, claim.lease_token, run.run_id)

    assert sorted(await asyncio.gather(*(finish() for _ in range(10)))) == [False] * 9 + [True]
