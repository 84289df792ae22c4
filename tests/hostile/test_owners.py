"""Isolation of users: no call reads or changes another user's data."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from domain.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    PermanentError,
)
from domain.jobs import Claim
from infrastructure.database.engine import Database
from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.jobs import claim_next, end_attempt, new_run
from tests.fixtures.worker_process import System
from tests.fuzz.generators import fuzz_settings
from worker.client import Client, ExportFormat, UploadSubmission

Call = Callable[[Client, UUID, Any], Awaitable[Any]]


async def first_of_watch(client: Client, user_id: UUID, job_id: str) -> Any:
    watching = client.watch(user_id, job_id)
    try:
        return await anext(aiter(watching))
    finally:
        await watching.aclose()  # type: ignore[attr-defined]


async def submit_many_of_one(client: Client, user_id: UUID, key: str | None) -> Any:
    (job,) = await client.submit_many(
        user_id, [UploadSubmission(filename="a.py", content=b"x = 1\n", idempotency_key=key)]
    )
    return job


JOB_CALLS: dict[str, Call] = {
    "get_job": lambda client, user, job: client.get_job(user, job),
    "watch": first_of_watch,
    "list_webhook_deliveries": lambda client, user, job: client.list_webhook_deliveries(user, job),
    "get_result": lambda client, user, job: client.get_result(user, job),
    "take_result": lambda client, user, job: client.take_result(user, job),
    "cancel_job": lambda client, user, job: client.cancel_job(user, job),
    "retry_job": lambda client, user, job: client.retry_job(user, job),
}
RUN_CALLS: dict[str, Call] = {
    "get_run": lambda client, user, run: client.get_run(user, run),
    "export_run": lambda client, user, run: client.export_run(user, run, ExportFormat.SARIF),
    "get_file_tree": lambda client, user, run: client.get_file_tree(user, run),
    "list_findings": lambda client, user, run: client.list_findings(user, run),
    "compare_runs": lambda client, user, run: client.compare_runs(user, run, run),
    "trend": lambda client, user, run: client.trend(user, str(run)),
    "pin_baseline": lambda client, user, run: client.pin_baseline(user, run),
    "delete_run": lambda client, user, run: client.delete_run(user, run),
}
OWN_CALLS: dict[str, Call] = {
    "list_jobs": lambda client, user, _: client.list_jobs(user),
    "list_runs": lambda client, user, _: client.list_runs(user),
    "delete_user": lambda client, user, _: client.delete_user(user),
    "submit_upload": lambda client, user, key: client.submit_upload(
        user, filename="a.py", content=b"x = 1\n", idempotency_key=key
    ),
    "submit_repository": lambda client, user, key: client.submit_repository(
        user, url="https://github.com/owner/repo", token="a token", idempotency_key=key
    ),
    "submit_many": submit_many_of_one,
}
CALLS_BY_PREFIX = {"find_job_id", "find_run_id"}
CALLS_WITHOUT_OWNER = {
    "open",
    "get_or_create_user",  # the caller has authenticated the user
    "for_request",  # the same client, with an address for its entries in the audit log
    "webhook_secrets",  # derived from the id, without reading any data
}


def test_every_public_call_is_covered_here() -> None:
    public = {name for name in dir(Client) if not name.startswith("_")}
    assert public == {*JOB_CALLS, *RUN_CALLS, *OWN_CALLS, *CALLS_BY_PREFIX, *CALLS_WITHOUT_OWNER}


@dataclass
class World:
    """Two users, a client, and direct access to the database."""

    client: Client
    database: Database
    users: list[UUID] = field(default_factory=list)

    async def create_users(self) -> None:
        self.users = [await self.client.get_or_create_user(f"{uuid.uuid4().hex}@example.org") for _ in range(2)]

    async def rows_of(self, user_id: UUID) -> list[str]:
        """Return all rows and tokens of the user."""
        queries = (
            "SELECT t::text FROM jobs AS t WHERE user_id = :id ORDER BY job_id",
            "SELECT t::text FROM analysis_runs AS t WHERE user_id = :id ORDER BY run_id",
            "SELECT t::text FROM daily_usage AS t WHERE user_id = :id ORDER BY day",
            "SELECT t::text FROM users AS t WHERE id = :id",
            "SELECT t::text FROM audit_logs AS t WHERE user_id = :id ORDER BY id",
        )
        async with self.database.unit_of_work() as work:
            found = [row for query in queries for row in await work.scalars(text(query), {"id": user_id})]
            query = text("SELECT job_id FROM jobs WHERE user_id = :id ORDER BY job_id")
            jobs = (await work.scalars(query, {"id": user_id})).all()
        redis = self.client._connections.vault._redis
        return [*found, *[f"{job}: {await redis.get(f'vibe8:token:{job}')!r}" for job in jobs]]

    async def claim(self, job_id: str) -> Claim:
        """Claim this job, as a worker would."""
        async with self.database.unit_of_work() as work:
            await work.execute(
                text("UPDATE jobs SET run_after = now() + interval '1 day' WHERE job_id <> :id"), {"id": job_id}
            )
            claim = await claim_next(work, 600)
            await work.execute(text("UPDATE jobs SET run_after = now() WHERE status = 'pending'"))
        assert claim is not None
        assert claim.job.job_id == job_id
        return claim

    async def complete(self, job_id: str) -> UUID:
        claim = await self.claim(job_id)
        run = new_run(claim.job.user_id, job_id)
        async with self.database.unit_of_work() as work:
            await end_attempt(work, claim, run)
        return run.run_id

    async def fail(self, job_id: str) -> None:
        claim = await self.claim(job_id)
        async with self.database.unit_of_work() as work:
            await end_attempt(work, claim, message="it failed")

    async def submit(self, user_id: UUID) -> str:
        return (await self.client.submit_upload(user_id, filename="a.py", content=b"secret = 1\n")).job_id


@pytest.fixture
async def world(client: Client, system: System) -> AsyncIterator[World]:
    database = Database.from_settings(system.settings)
    world = World(client=client, database=database)
    await world.create_users()
    yield world
    await database.close()


STATES = ("pending", "running", "completed", "failed", "cancelled")


async def job_in_state(world: World, owner: UUID, state: str) -> str:
    job_id = await world.submit(owner)
    if state == "running":
        await world.claim(job_id)
    elif state == "completed":
        await world.complete(job_id)
    elif state == "failed":
        await world.fail(job_id)
    elif state == "cancelled":
        await world.client.cancel_job(owner, job_id)
    return job_id


@pytest.mark.parametrize("state", STATES)
async def test_calls_about_another_users_job_are_refused(world: World, state: str) -> None:
    ann, bob = world.users
    job_id = await job_in_state(world, ann, state)
    before = [await world.rows_of(user) for user in world.users]
    for name, call in JOB_CALLS.items():
        with pytest.raises(ForbiddenError) as caught:
            await call(world.client, bob, job_id)
        assert str(ann) not in str(caught.value), name
        assert [await world.rows_of(user) for user in world.users] == before, name
        with pytest.raises(NotFoundError):
            await call(world.client, bob, uuid.uuid4().hex)
    assert not issubclass(NotFoundError, ForbiddenError)
    assert not issubclass(ForbiddenError, NotFoundError)
    assert await world.client.list_jobs(bob) == []


async def test_calls_about_another_users_run_are_refused(world: World) -> None:
    ann, bob = world.users
    run_id = await world.complete(await world.submit(ann))
    before = [await world.rows_of(user) for user in world.users]
    for name, call in RUN_CALLS.items():
        with pytest.raises(ForbiddenError) as caught:
            await call(world.client, bob, run_id)
        assert str(ann) not in str(caught.value), name
        assert [await world.rows_of(user) for user in world.users] == before, name
        with pytest.raises(NotFoundError):
            await call(world.client, bob, uuid.uuid4())
    assert (await world.client.list_runs(bob)).runs == []


async def test_deleted_user_is_refused(world: World) -> None:
    ann, bob = world.users
    job_id = await world.submit(ann)
    run_id = await world.complete(await world.submit(ann))
    await world.client.delete_user(bob)
    before = await world.rows_of(ann)
    for calls, target in ((JOB_CALLS, job_id), (RUN_CALLS, run_id)):
        for call in calls.values():
            with pytest.raises(ForbiddenError):
                await call(world.client, bob, target)
    for name in ("submit_upload", "submit_repository", "submit_many", "delete_user"):
        with pytest.raises(NotFoundError):
            await OWN_CALLS[name](world.client, bob, None)
    assert await world.rows_of(ann) == before


async def test_same_idempotency_key_of_two_users_creates_two_jobs(world: World) -> None:
    ann, bob = world.users
    first = await OWN_CALLS["submit_upload"](world.client, ann, "key")
    second = await OWN_CALLS["submit_upload"](world.client, bob, "key")
    assert (first.user_id, second.user_id) == (ann, bob)
    assert first.job_id != second.job_id


async def test_beginning_of_anothers_id_finds_nothing(world: World) -> None:
    ann, bob = world.users
    job_id = (await OWN_CALLS["submit_upload"](world.client, ann, None)).job_id
    assert await world.client.find_job_id(ann, job_id[:8]) == job_id
    assert await world.client.find_job_id(bob, job_id[:8]) == job_id[:8]


@pytest.mark.parametrize("hostile", ["' OR '1'='1", "\x00", "\ud800", "%", "*", "", "x" * 10_000, "\u202e", "../.."])
async def test_invalid_job_id_is_not_found(world: World, hostile: str) -> None:
    ann, bob = world.users
    await world.submit(ann)
    for call in JOB_CALLS.values():
        with pytest.raises(NotFoundError) as caught:
            await call(world.client, bob, hostile)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("since", [timedelta.max, timedelta.min, timedelta(days=-1), timedelta()])
@pytest.mark.parametrize("limit", [-1, 0, 1, 10**30])
async def test_lists_accept_any_age_and_limit(world: World, since: timedelta, limit: int) -> None:
    ann, _ = world.users
    run_id = await world.complete(await world.submit(ann))
    assert len(await world.client.list_jobs(ann, since=since, limit=limit)) == (1 if since > timedelta() else 0)
    assert [run.run_id for run in (await world.client.list_runs(ann, limit=limit)).runs] == [run_id]


# Sequences of calls

ALL_CALLS = {**JOB_CALLS, **RUN_CALLS, **OWN_CALLS}
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),  # the user who calls
        st.sampled_from([*ALL_CALLS, "complete", "fail"]),
        st.integers(0, 30),  # the job or run, of all that were created
        st.sampled_from([None, "k1", "k2"]),
    ),
    min_size=10,
    max_size=30,
)


@pytest.fixture
def runner(system: System) -> Iterator[tuple[asyncio.Runner, World]]:
    """An event loop for the plain functions that Hypothesis calls, and a world in it."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def enter() -> World:
            settings = system.settings.model_copy(update={"max_concurrent_jobs_per_user": 3})
            client = await stack.enter_async_context(CheckedClient.open(settings))
            database = Database.from_settings(settings)
            stack.push_async_callback(database.close)
            return World(client=client, database=database)

        yield runner, runner.run(enter())
        runner.run(stack.aclose())


def test_no_sequence_of_calls_affects_the_other_user(runner: tuple[asyncio.Runner, World]) -> None:
    loop, world = runner
    seen: Counter[tuple[str, str]] = Counter()

    @fuzz_settings(80)
    @given(steps=STEPS)
    def check(steps: list[tuple[int, str, int, str | None]]) -> None:
        loop.run(run_steps(world, steps, seen))

    check()
    refused = {name for name, answer in seen if answer == "ForbiddenError"}
    assert refused == {*JOB_CALLS, *RUN_CALLS}
    done = {name for name, answer in seen if not answer.endswith("Error")}
    assert done == set(ALL_CALLS)
    print(f"{seen.total()} calls by two users")


async def run_steps(
    world: World, steps: list[tuple[int, str, int, str | None]], seen: Counter[tuple[str, str]]
) -> None:
    await world.create_users()
    jobs: list[tuple[UUID, str]] = []
    runs: list[tuple[UUID, UUID]] = []
    for user in world.users:
        runs.append((user, await world.complete(await world.submit(user))))
        jobs += [(user, await job_in_state(world, user, state)) for state in ("failed", "pending")]
    for who, name, number, key in steps:
        me, other = world.users[who], world.users[1 - who]
        if name in ("complete", "fail"):
            await finish_pending_job(world, name, jobs, runs, number)
            continue
        pool: list[Any] = jobs if name in JOB_CALLS else runs if name in RUN_CALLS else []
        owner, target = pool[number % len(pool)] if pool else (me, uuid.uuid4() if name in RUN_CALLS else "unknown")
        if name in OWN_CALLS:
            target = key
        before = await world.rows_of(other)
        answer = await call_or_error(ALL_CALLS[name], world, me, target)
        seen[name, type(answer).__name__] += 1
        assert await world.rows_of(other) == before, name
        if name in OWN_CALLS or owner == me:
            assert not isinstance(answer, ForbiddenError)
        else:
            assert isinstance(answer, ForbiddenError | NotFoundError), name
        assert str(other) not in repr(answer), name
        if name.startswith("submit") and not isinstance(answer, PermanentError):
            jobs.append((answer.user_id, answer.job_id))
    async with world.database.unit_of_work() as work:
        await work.execute(text("DELETE FROM users"))


async def call_or_error(call: Call, world: World, user_id: UUID, target: Any) -> Any:
    """Return the result, or the expected error."""
    try:
        return await call(world.client, user_id, target)
    except (ForbiddenError, NotFoundError, IllegalTransitionError, InvalidInputError, LimitExceededError) as error:
        return error


async def finish_pending_job(
    world: World, name: str, jobs: list[tuple[UUID, str]], runs: list[tuple[UUID, UUID]], number: int
) -> None:
    """Complete or fail a pending job, as a worker would."""
    async with world.database.unit_of_work() as work:
        pending = (await work.scalars(text("SELECT job_id FROM jobs WHERE status = 'pending'"))).all()
    mine = [(owner, job_id) for owner, job_id in jobs if job_id in pending]
    if not mine:
        return
    owner, job_id = mine[number % len(mine)]
    if name == "complete":
        runs.append((owner, await world.complete(job_id)))
    else:
        await world.fail(job_id)


# Races
