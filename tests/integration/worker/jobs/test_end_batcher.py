"""Ends of attempts that share a transaction."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import LEASE_SECONDS, Claim, JobStatus
from infrastructure.database.engine import Database, DriverConnection
from infrastructure.database.repositories.attempt_ends import AttemptEnd, EndResult
from infrastructure.database.repositories.attempts import CANCELLED
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.runs import SerializedRun
from tests.fixtures.jobs import UPLOAD, get_job, new_run, new_user, submit
from worker.jobs import end_batcher
from worker.jobs.end_batcher import EndBatcher


class CountingDatabase:
    """Counts transactions, and holds the first until it is released."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions = 0
        self.release_first = asyncio.Event()

    @asynccontextmanager
    async def driver(self, *, transaction: bool) -> AsyncIterator[AsyncConnection | DriverConnection]:
        self.transactions += 1
        if self.transactions == 1:
            await self.release_first.wait()
        async with self._database.driver(transaction=transaction) as connection:
            yield connection


async def claim_many(database: Database, count: int) -> list[Claim]:
    user_id = await new_user(database)
    for _ in range(count):
        await submit(database, user_id, UPLOAD)
    async with database.autocommit() as connection:
        claims = await ClaimRepository(connection).claim(count, worker_id="w", lease_seconds=LEASE_SECONDS)
    assert len(claims) == count
    return list(claims)


def completed(claim: Claim, **changes: Any) -> AttemptEnd:
    return AttemptEnd(claim=claim, run=SerializedRun.of(new_run(claim.job.user_id, claim.job.job_id, **changes)))


async def statuses(database: Database, claims: list[Claim]) -> list[JobStatus]:
    return [(await get_job(database, claim.job.job_id)).status for claim in claims]


async def count_runs(database: Database) -> int:
    async with database.autocommit() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM analysis_runs")) or 0)


async def test_ends_that_arrive_during_a_transaction_share_the_next(database: Database) -> None:
    claims = await claim_many(database, 12)
    counting = CountingDatabase(database)
    batcher = EndBatcher(counting)  # type: ignore[arg-type]
    writes = [asyncio.create_task(batcher.write(completed(claim))) for claim in claims]
    await asyncio.sleep(0)
    counting.release_first.set()
    assert await asyncio.gather(*writes) == [EndResult.WRITTEN] * 12
    assert counting.transactions <= 2
    assert await statuses(database, claims) == [JobStatus.COMPLETED] * 12
    assert await count_runs(database) == 12


async def test_a_lost_lease_a_cancellation_and_a_failure_cost_the_others_nothing(database: Database) -> None:
    lost, cancelled, failed, done = claims = await claim_many(database, 4)
    async with database.unit_of_work() as connection:
        await JobRepository(connection).request_cancel(cancelled.job.job_id)
    batcher = EndBatcher(database)
    results = await asyncio.gather(
        batcher.write(completed(replace(lost, lease_token=uuid.uuid4()))),
        batcher.write(completed(cancelled)),
        batcher.write(AttemptEnd(claim=failed, kind="InvalidInputError", message="not a zip")),
        batcher.write(completed(done)),
    )
    assert list(results) == [EndResult.LOST, EndResult.CANCELLED, EndResult.WRITTEN, EndResult.WRITTEN]
    jobs = [await get_job(database, claim.job.job_id) for claim in claims]
    assert [job.status.value for job in jobs] == ["running", "failed", "failed", "completed"]
    assert [job.error_message for job in jobs] == [None, CANCELLED, "not a zip", None]
    assert [error.kind for error in jobs[2].attempt_errors] == ["InvalidInputError"]
    assert await count_runs(database) == 1


async def test_an_end_that_postgresql_refuses_costs_only_itself(database: Database) -> None:
    claims = await claim_many(database, 5)
    ends = [completed(claim) for claim in claims]
    assert ends[2].run is not None
    refused = replace(ends[2].run, columns={**ends[2].run.columns, "metrics": '{"a": "\\u0000"}'})
    ends[2] = replace(ends[2], run=refused)
    batcher = EndBatcher(database)
    results = await asyncio.gather(*(batcher.write(end) for end in ends), return_exceptions=True)
    assert [result for number, result in enumerate(results) if number != 2] == [EndResult.WRITTEN] * 4
    assert isinstance(results[2], Exception)
    assert (await statuses(database, claims)).count(JobStatus.COMPLETED) == 4
    assert (await get_job(database, claims[2].job.job_id)).status is JobStatus.RUNNING


@pytest.mark.parametrize("kind", ["completed", "failed"])
async def test_an_end_whose_commit_was_not_answered_can_be_written_again(database: Database, kind: str) -> None:
    (claim,) = await claim_many(database, 1)
    end = completed(claim) if kind == "completed" else AttemptEnd(claim=claim, kind="x", message="y")
    batcher = EndBatcher(database)
    assert [await batcher.write(end), await batcher.write(end)] == [EndResult.WRITTEN] * 2
    job = await get_job(database, claim.job.job_id)
    assert (job.status.value, len(job.attempt_errors)) == (kind, kind == "failed")
    assert await count_runs(database) == (kind == "completed")


async def test_large_runs_are_written_in_transactions_of_their_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_batcher, "MAX_CHARACTERS", 3_000)
    claims = await claim_many(database, 4)
    counting = CountingDatabase(database)
    batcher = EndBatcher(counting)  # type: ignore[arg-type]
    writes = [asyncio.create_task(batcher.write(completed(claim, errors=["e" * 2_500]))) for claim in claims]
    counting.release_first.set()
    assert await asyncio.gather(*writes) == [EndResult.WRITTEN] * 4
    assert counting.transactions == 4


@pytest.mark.parametrize("limit", ["number", "size"])
async def test_ends_are_taken_while_they_fit_into_the_next_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    claims = await claim_many(database, 4)
    ends = [completed(claim) for claim in claims]
    if limit == "number":
        monkeypatch.setattr(end_batcher, "MAX_ENDS", 2)
    else:
        monkeypatch.setattr(end_batcher, "MAX_CHARACTERS", ends[1].size + ends[2].size)
    counting = CountingDatabase(database)
    batcher = EndBatcher(counting)  # type: ignore[arg-type]
    writes, taken = [], []
    for end in ends:
        taken.append(batcher.takes(end))
        writes.append(asyncio.create_task(batcher.write(end)))
        for _ in range(3):  # the first is then in its transaction, and no longer waits for one
            await asyncio.sleep(0)
    assert taken == [True, True, True, False]
    counting.release_first.set()
    assert await asyncio.gather(*writes) == [EndResult.WRITTEN] * 4
    assert batcher.takes(ends[0])


async def test_deleting_the_user_meanwhile_neither_deadlocks_nor_leaves_a_run(database: Database) -> None:
    claims = await claim_many(database, 6)
    batcher = EndBatcher(database)

    async def delete_user() -> None:
        async with database.unit_of_work() as connection:
            await connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": claims[0].job.user_id})

    results = await asyncio.gather(*(batcher.write(completed(claim)) for claim in claims), delete_user())
    assert set(results[:-1]) <= {EndResult.WRITTEN, EndResult.LOST}
    assert await count_runs(database) == 0
