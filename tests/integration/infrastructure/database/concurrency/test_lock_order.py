"""Pairs of actions that lock the same rows, interleaved by hand: neither ends in a deadlock.

A third transaction holds one row, so that the first action stops between two of its locks; the second action then gets
as far as it can, and the row is released. `infrastructure.database.repositories` describes the order of all locks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import Claim
from domain.runs import NewRun
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.jobs import new_run, new_user, submit
from tests.fixtures.waiting import until

Action = Callable[[AsyncConnection], Awaitable[Any]]

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def run_number(number: int) -> UUID:
    """Return an id: the ids of runs are in the order of their numbers."""
    return UUID(int=number)


def delete_user(user_id: UUID) -> Action:
    return lambda work: UserRepository(work).delete(user_id, 100)


def delete_runs_of_user(user_id: UUID, limit: int = 100) -> Action:
    return lambda work: UserRepository(work).delete_runs(user_id, limit)


def delete_run(number: int) -> Action:
    return lambda work: RunRepository(work).delete(run_number(number))


def delete_old_runs(limit: int) -> Action:
    return lambda work: CleanupRepository(work).delete_old_runs(0, limit)


def pin(number: int) -> Action:
    return lambda work: RunRepository(work).pin(run_number(number))


class Interleaving:
    """Transactions that are started one after the other, each after the one before has stopped at a lock or ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def holding(self, table: str, key: str, value: Any) -> AsyncIterator[None]:
        """Hold a row as any change of it does. At the end of the block all transactions must end."""
        async with self._database.unit_of_work() as holder:
            query = f"SELECT 1 FROM {table} WHERE {key} = :value FOR NO KEY UPDATE"  # noqa: S608 - names of this module
            assert await holder.scalar(text(query), {"value": value}) == 1
            yield
        await self.ended()

    async def ended(self) -> None:
        """Wait until all transactions have ended; raises what one of them raised."""
        await asyncio.gather(*self._tasks)

    async def start(self, action: Action) -> None:
        task = asyncio.create_task(self._run(action))
        self._tasks.append(task)
        await self.stopped()

    async def stopped(self) -> None:
        """Wait until each transaction waits for a lock or has ended."""
        await until(self._all_stopped)

    async def _run(self, action: Action) -> None:
        async with self._database.unit_of_work() as work:
            await action(work)

    async def _all_stopped(self) -> bool:
        """Return whether every transaction waits for a lock or has ended."""
        async with self._database.unit_of_work() as work:
            waiting = await work.scalar(text(WAITING))
        return bool(waiting == sum(not task.done() for task in self._tasks))


@pytest.fixture
def interleaving(database: Database) -> Interleaving:
    return Interleaving(database)


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await new_user(database)


async def add_runs(database: Database, user_id: UUID, *numbers: int, baselines: dict[int, int] | None = None) -> None:
    """Add runs of one project, oldest first, each with a completed job `job-NUMBER` that refers to it."""
    async with database.unit_of_work() as work:
        runs = [replace(new_run(user_id, f"job-{number}"), run_id=run_number(number)) for number in numbers]
        await RunRepository(work).insert_many([SerializedRun.of(run) for run in runs])
        for age, number in enumerate(reversed(numbers), start=1):
            values = {"run": run_number(number), "job": f"job-{number}", "user": user_id, "age": age}
            await work.execute(
                text("""
                    UPDATE analysis_runs
                    SET project_key = 'project', created_at = now() - make_interval(hours => :age) WHERE run_id = :run
                """),
                values,
            )
            await work.execute(
                text("""
                    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, result_run_id)
                    VALUES (:job, :user, 'completed', 'github', '{}', :run)
                """),
                values,
            )
        for number, baseline in (baselines or {}).items():
            values = {"run": run_number(number), "baseline": run_number(baseline)}
            await work.execute(text("UPDATE analysis_runs SET baseline_run_id = :baseline WHERE run_id = :run"), values)


async def remaining(database: Database, table: str) -> int:
    async with database.unit_of_work() as work:
        return int(await work.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - names of this module


@pytest.mark.parametrize("second", [delete_run(2), delete_old_runs(1)], ids=["delete_run", "retention"])
async def test_a_user_is_deleted_while_one_of_their_runs_is(
    database: Database, interleaving: Interleaving, owner_id: UUID, second: Action
) -> None:
    """Deleting a run changes the job that refers to it; deleting the user deletes that job, and that run."""
    await add_runs(database, owner_id, 2, 1)
    async with interleaving.holding("analysis_runs", "run_id", run_number(1)):
        await interleaving.start(delete_user(owner_id))
        await interleaving.start(second)
    assert (await remaining(database, "users"), await remaining(database, "analysis_runs")) == (0, 0)


async def test_a_user_is_deleted_by_two_calls_at_once(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 1, 2)
    async with interleaving.holding("jobs", "job_id", "job-2"):
        await interleaving.start(delete_user(owner_id))
        await interleaving.start(delete_runs_of_user(owner_id))
    assert (await remaining(database, "users"), await remaining(database, "jobs")) == (0, 0)


async def test_a_run_and_its_baseline_are_deleted_by_two_cleanups(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 1, 2, 3, baselines={1: 2, 3: 1})
    async with interleaving.holding("jobs", "job_id", "job-1"):
        await interleaving.start(delete_old_runs(1))
        await interleaving.start(delete_old_runs(2))
    assert await remaining(database, "analysis_runs") == 2  # the first held the run that was compared with the second's
    await interleaving.start(delete_old_runs(2))
    assert await remaining(database, "analysis_runs") == 0


@pytest.mark.parametrize("first", [delete_run(2), delete_old_runs(1)], ids=["delete_run", "retention"])
async def test_a_baseline_is_deleted_while_all_runs_of_its_user_are(
    database: Database, interleaving: Interleaving, owner_id: UUID, first: Action
) -> None:
    await add_runs(database, owner_id, 2, 1, baselines={1: 2})
    async with interleaving.holding("jobs", "job_id", "job-2"):
        await interleaving.start(first)
        await interleaving.start(delete_runs_of_user(owner_id))
    assert await remaining(database, "analysis_runs") == 0


async def test_a_run_between_two_old_ones_is_deleted_while_cleanup_deletes_these(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 1, 3, 2, baselines={2: 1, 3: 2})
    async with interleaving.holding("jobs", "job_id", "job-2"):
        await interleaving.start(delete_run(2))
        await interleaving.start(delete_old_runs(2))
    await interleaving.start(delete_old_runs(2))  # the first cleanup skipped what the other deletion held
    assert await remaining(database, "analysis_runs") == 0


async def test_runs_are_deleted_while_jobs_end_that_were_compared_with_them(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 1, 2, 3)
    claims = await claim_three(database, owner_id)
    runs = [compared_with(claim, number) for claim, number in zip(claims, (3, 2, 1), strict=True)]
    ends = [AttemptEnd(claim=claim, run=SerializedRun.of(run)) for claim, run in zip(claims, runs, strict=True)]
    async with database.unit_of_work() as holder:
        await holder.execute(text("SELECT 1 FROM analysis_runs WHERE run_id = :id FOR UPDATE"), {"id": run_number(2)})
        await interleaving.start(lambda work: AttemptEndRepository(work).end(ends))
        await interleaving.start(delete_runs_of_user(owner_id, limit=3))
    await interleaving.ended()
    async with database.unit_of_work() as work:
        stored = [await RunRepository(work).summary(run.run_id) for run in runs]
    assert [run.baseline_run_id for run in stored] == [None] * 3


async def test_a_baseline_is_deleted_whose_later_run_was_stored_just_before(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    """The deletion of the baseline waits for the end, and began before: it cannot know of the end's run."""
    await add_runs(database, owner_id, 3, 9)
    await submit(database, owner_id)
    async with database.unit_of_work() as work:
        (claim,) = await ClaimRepository(work).claim(1, worker_id="w", lease_seconds=60)
    run = replace(compared_with(claim, 9), run_id=run_number(1))
    end = AttemptEnd(claim=claim, run=SerializedRun.of(run))
    async with interleaving.holding("jobs", "job_id", "job-9"):
        async with database.unit_of_work() as holder:
            values = {"id": claim.job.job_id}
            await holder.execute(text("SELECT 1 FROM jobs WHERE job_id = :id FOR NO KEY UPDATE"), values)
            await interleaving.start(lambda work: AttemptEndRepository(work).end([end]))
            await interleaving.start(delete_run(9))
        await interleaving.stopped()
        await interleaving.start(delete_runs_of_user(owner_id))
    assert await remaining(database, "analysis_runs") == 0


async def claim_three(database: Database, user_id: UUID) -> list[Claim]:
    for _ in range(3):
        await submit(database, user_id)
    async with database.unit_of_work() as work:
        return list(await ClaimRepository(work).claim(3, worker_id="w", lease_seconds=60))


def compared_with(claim: Claim, baseline: int) -> NewRun:
    return replace(new_run(claim.job.user_id, claim.job.job_id), baseline_run_id=run_number(baseline))


async def test_a_run_is_pinned_while_all_runs_of_its_user_are_deleted(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 3, 2, 1)
    async with database.unit_of_work() as work:
        await RunRepository(work).pin(run_number(3))
        await work.execute(text("UPDATE analysis_runs SET errors = '[]' WHERE run_id = :id"), {"id": run_number(1)})
    async with interleaving.holding("analysis_runs", "run_id", run_number(2)):
        await interleaving.start(delete_runs_of_user(owner_id))
        await interleaving.start(pin(1))
    assert await remaining(database, "analysis_runs") == 0


async def test_two_runs_of_one_project_pinned_at_once_leave_one_pinned(
    database: Database, interleaving: Interleaving, owner_id: UUID
) -> None:
    await add_runs(database, owner_id, 1, 2, 3)
    async with database.unit_of_work() as work:
        await RunRepository(work).pin(run_number(1))
    async with interleaving.holding("analysis_runs", "run_id", run_number(1)):
        await interleaving.start(pin(2))
        await interleaving.start(pin(3))
    async with database.unit_of_work() as work:
        pinned = (await work.scalars(text("SELECT run_id FROM analysis_runs WHERE pinned"))).all()
    assert pinned == [run_number(3)]
