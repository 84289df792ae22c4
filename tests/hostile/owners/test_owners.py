"""Isolation of users: no call reads or changes another user's data."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, get_type_hints
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
from infrastructure.database.engine import Database
from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.worker_process import System
from tests.fuzz.generators import fuzz_settings
from tests.hostile.owners.job_cases import JOBS, STATES, job_in_state
from tests.hostile.owners.subjects import (
    CALLS_BY_PREFIX,
    CALLS_WITHOUT_OWNER,
    OWN_CALLS,
    QUERIES,
    SUBJECTS,
    THING_CALLS,
)
from tests.hostile.owners.world import Call, Subject, World
from worker.client import Client


def test_every_public_call_is_covered_here() -> None:
    public = {name for name in dir(Client) if not name.startswith("_")}
    for subject, cls in get_type_hints(Client).items():
        public |= {f"{subject}.{name}" for name in dir(cls) if not name.startswith("_")}
    assert public == {*THING_CALLS, *OWN_CALLS, *CALLS_BY_PREFIX, *CALLS_WITHOUT_OWNER}


@pytest.fixture
async def world(client: Client, system: System) -> AsyncIterator[World]:
    database = Database.from_settings(system.settings)
    world = World(client=client, database=database, queries=QUERIES)
    await world.create_users()
    yield world
    await database.close()


async def check_refusals(world: World, subject: Subject, thing: Any) -> None:
    """Check that every call about Ann's thing is refused when Bob makes it, and changes nothing."""
    ann, bob = world.users
    before = [await world.rows_of(user) for user in world.users]
    for name, call in subject.calls.items():
        with pytest.raises(ForbiddenError) as caught:
            await call(world.client, bob, thing)
        assert str(ann) not in str(caught.value), name
        assert [await world.rows_of(user) for user in world.users] == before, name
        with pytest.raises(NotFoundError):
            await call(world.client, bob, subject.unknown())


@pytest.mark.parametrize("state", STATES)
async def test_calls_about_another_users_job_are_refused(world: World, state: str) -> None:
    await check_refusals(world, JOBS, await job_in_state(world, world.users[0], state))
    assert not issubclass(NotFoundError, ForbiddenError)
    assert not issubclass(ForbiddenError, NotFoundError)
    assert await world.client.list_jobs(world.users[1]) == []


@pytest.mark.parametrize("name", sorted(set(SUBJECTS) - {"jobs"}))
async def test_calls_about_anything_of_another_user_are_refused(world: World, name: str) -> None:
    subject = SUBJECTS[name]
    await check_refusals(world, subject, await subject.make(world, world.users[0]))
    assert (await world.client.list_runs(world.users[1])).runs == []
    assert await world.client.keys.list(world.users[1]) == []
    assert await world.client.reports.list(world.users[1]) == []


async def test_deleted_user_is_refused(world: World) -> None:
    ann, bob = world.users
    things = [(subject, await subject.make(world, ann)) for subject in SUBJECTS.values()]
    await world.client.delete_user(bob)
    before = await world.rows_of(ann)
    for subject, thing in things:
        for call in subject.calls.values():
            with pytest.raises(ForbiddenError):
                await call(world.client, bob, thing)
    reading = {
        "list_jobs", "list_runs", "keys.list", "evaluations.list", "sessions.end_all", "reports.list", "projects.list",
        "projects.of_urls",
    }  # fmt: skip
    for name in OWN_CALLS.keys() - reading - {f"repositories.{name}" for name in REPOSITORY_LISTS}:
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
    for call in JOBS.calls.values():
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


REPOSITORY_LISTS = ("list", "get_many", "follows", "list_followed", "trending")

# Sequences of calls

ALL_CALLS = {**THING_CALLS, **OWN_CALLS}
SUBJECT_OF = {name: subject for subject, each in SUBJECTS.items() for name in each.calls}
Things = dict[str, list[tuple[UUID, Any]]]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),  # the user who calls
        st.sampled_from([*ALL_CALLS, "complete", "fail"]),
        st.integers(0, 30),  # the thing, of all that were created
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
            return World(client=client, database=database, queries=QUERIES)

        yield runner, runner.run(enter())
        runner.run(stack.aclose())


def test_no_sequence_of_calls_affects_the_other_user(runner: tuple[asyncio.Runner, World]) -> None:
    loop, world = runner
    seen: Counter[tuple[str, str]] = Counter()

    @fuzz_settings(20)
    @given(steps=STEPS)
    def check(steps: list[tuple[int, str, int, str | None]]) -> None:
        loop.run(run_steps(world, steps, seen))

    check()
    for name in ALL_CALLS:  # each call about each thing, by the other user and by its owner
        loop.run(run_steps(world, [(who, name, number, None) for number in range(4) for who in (1, 0)], seen))
    for name in ALL_CALLS:  # random sequences may miss a call
        loop.run(run_steps(world, [(who, name, number, None) for who in (0, 1) for number in range(4)], seen))
    refused = {name for name, answer in seen if answer == "ForbiddenError"}
    assert refused == set(THING_CALLS)
    done = {name for name, answer in seen if not answer.endswith("Error")}
    assert done == set(ALL_CALLS)
    print(f"{seen.total()} calls by two users")


async def run_steps(
    world: World, steps: Sequence[tuple[int, str, int, str | None]], seen: Counter[tuple[str, str]]
) -> None:
    await world.create_users()
    things: Things = {
        name: [(user, await each.make(world, user)) for user in world.users] for name, each in SUBJECTS.items()
    }
    things["jobs"] += [(user, await job_in_state(world, user, "failed")) for user in world.users]
    for who, name, number, key in steps:
        me, other = world.users[who], world.users[1 - who]
        if name in ("complete", "fail"):
            await finish_pending_job(world, name, things, number)
            continue
        pool = things[SUBJECT_OF[name]] if name in SUBJECT_OF else []
        owner, target = pool[number % len(pool)] if pool else (me, key)
        before = await world.rows_of(other)
        answer = await call_or_error(ALL_CALLS[name], world, me, target)
        seen[name, type(answer).__name__] += 1
        assert await world.rows_of(other) == before, name
        if owner == me:
            assert not isinstance(answer, ForbiddenError)
        else:
            assert isinstance(answer, ForbiddenError | NotFoundError), name
        assert str(other) not in repr(answer), name
        if name.startswith("submit") and not isinstance(answer, PermanentError):
            things["jobs"].append((answer.user_id, answer.job_id))
    async with world.database.unit_of_work() as work:
        await work.execute(text("DELETE FROM users"))


async def call_or_error(call: Call, world: World, user_id: UUID, target: Any) -> Any:
    """Return the result, or the expected error."""
    try:
        return await call(world.client, user_id, target)
    except (ForbiddenError, NotFoundError, IllegalTransitionError, InvalidInputError, LimitExceededError) as error:
        return error


async def finish_pending_job(world: World, name: str, things: Things, number: int) -> None:
    """Complete or fail a pending job, as a worker would."""
    async with world.database.unit_of_work() as work:
        pending = (await work.scalars(text("SELECT job_id FROM jobs WHERE status = 'pending'"))).all()
    mine = [(owner, job_id) for owner, job_id in things["jobs"] if job_id in pending]
    if not mine:
        return
    owner, job_id = mine[number % len(mine)]
    if name == "complete":
        things["runs"].append((owner, await world.complete(job_id)))
    else:
        await world.fail(job_id)
