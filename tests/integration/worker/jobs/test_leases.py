"""Leases of attempts, renewed by token."""

import asyncio
import json
from unittest.mock import AsyncMock, Mock

import pytest
from sqlalchemy import text

from domain.errors import LeaseLostError
from domain.jobs import LEASE_SECONDS, Claim
from domain.statistics.ends import Outcome
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository
from infrastructure.database.repositories.attempts import AttemptRepository, LeaseState
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.observability.prometheus_metrics import LEASES_LOST
from infrastructure.redis.end_counts import EndCounts
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.queue import JobQueue, connect, job_channel
from tests.fixtures.jobs import new_user, submit
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.jobs.lease_keeper import LeaseKeeper
from worker.jobs.rescue import JobRescuer
from worker.process.bootstrap import token_vault


@pytest.fixture
def keeper(database: Database) -> LeaseKeeper:
    return LeaseKeeper(database, Mock(publish=AsyncMock()))


async def claim(database: Database) -> Claim:
    async with database.autocommit() as connection:
        (claimed,) = await ClaimRepository(connection).claim(1, worker_id="w", lease_seconds=LEASE_SECONDS)
    return claimed


async def expire(database: Database) -> None:
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE jobs SET lease_expires_at = now() - interval '1 s'"))
        assert len(await MaintenanceRepository(connection).rescue_expired(5)) == 1


async def seconds_left(database: Database) -> float:
    async with database.autocommit() as connection:
        left = await connection.scalar(text("SELECT extract(epoch FROM lease_expires_at - now())::float8 FROM jobs"))
    return float(left or 0)


async def wait_forever() -> None:
    await asyncio.Event().wait()


async def test_an_earlier_attempt_that_ends_late_does_not_stop_the_renewal_of_the_next(
    database: Database, keeper: LeaseKeeper
) -> None:
    await submit(database, await new_user(database))
    first = await claim(database)
    may_end = asyncio.Event()

    async def ends_late() -> None:
        try:
            await wait_forever()
        finally:
            await may_end.wait()

    old = asyncio.create_task(keeper.hold(first, ends_late()))
    await asyncio.sleep(0)
    await expire(database)
    second = await claim(database)
    assert second.job.job_id == first.job.job_id
    new = asyncio.create_task(keeper.hold(second, wait_forever()))
    await asyncio.sleep(0)
    await keeper._check(renew=True)  # tells the old attempt that its lease is lost
    may_end.set()
    with pytest.raises(LeaseLostError):
        await old
    async with database.unit_of_work() as connection:
        await connection.execute(text("UPDATE jobs SET lease_expires_at = now() + interval '5 s'"))
    await keeper._check(renew=True)
    assert await seconds_left(database) > LEASE_SECONDS - 2
    assert not new.done()
    assert keeper.held_jobs() == [second.job.job_id]
    new.cancel()
    await asyncio.gather(new, return_exceptions=True)


async def test_a_check_that_answers_late_does_not_report_a_completed_attempt_lost(
    database: Database, keeper: LeaseKeeper
) -> None:
    await submit(database, await new_user(database))
    held, lost_before = await claim(database), LEASES_LOST._value.get()
    written, checked = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        keeper.start_ending(held)
        async with database.unit_of_work() as connection:
            await connection.execute(text("UPDATE jobs SET status = 'completed', lease_token = NULL"))
        written.set()
        await checked.wait()
        keeper.release(held)
        return "completed"

    result = asyncio.create_task(keeper.hold(held, work()))
    await written.wait()
    await keeper._check(renew=True)
    checked.set()
    assert await result == "completed"
    assert LEASES_LOST._value.get() == lost_before


async def test_renewals_and_ends_of_the_same_jobs_in_opposite_orders_do_not_deadlock(database: Database) -> None:
    user_id = await new_user(database)
    for _ in range(20):
        await submit(database, user_id)
    async with database.autocommit() as connection:
        claims = await ClaimRepository(connection).claim(20, worker_id="w", lease_seconds=LEASE_SECONDS)

    async def renew(order: list[Claim]) -> None:
        states = [LeaseState(job_id=each.job.job_id, token=each.lease_token) for each in order]
        for _ in range(20):
            async with database.unit_of_work() as connection:
                await AttemptRepository(connection).renew_leases(states, LEASE_SECONDS)

    async def end(order: list[Claim]) -> None:
        for start in range(0, 20, 5):
            ends = [AttemptEnd(claim=each, kind="x", message="y") for each in order[start : start + 5]]
            async with database.unit_of_work() as connection:
                await AttemptEndRepository(connection).end(ends)

    forward, backward = list(claims), list(reversed(claims))
    await asyncio.gather(renew(forward), renew(backward), renew(backward), end(backward))
    async with database.autocommit() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM jobs WHERE status = 'failed'")) == 20


async def test_a_rescue_that_fails_a_job_is_published_and_counted(system: System, database: Database) -> None:
    job = await submit(database, await new_user(database))
    redis = await connect(system.environment["REDIS_URL"])
    events = EventPublisher(redis)
    rescuer = JobRescuer(
        database=database,
        queue=JobQueue(redis),
        events=events,
        vault=token_vault(system.settings, redis),
        on_due=lambda: None,
    )
    async with redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(job_channel(job.job_id))
        for _ in range(3):
            await claim(database)
            async with database.unit_of_work() as connection:
                await connection.execute(text("UPDATE jobs SET lease_expires_at = now() - interval '1 s'"))
            await rescuer.rescue_expired()
        await events.flush()
        ends = await EndCounts(redis).read()
        message = await until(lambda: pubsub.get_message(ignore_subscribe_messages=True))
    assert json.loads(message["data"])["error_message"] == "worker lost"
    assert ends.last_hour() == {Outcome.COMPLETED: 0, Outcome.FAILED: 1, Outcome.CANCELLED: 0}
