"""Checks, ends of jobs, calls of owners and followers at the same time: no deadlock, and one job for each change."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.errors import NotFoundError
from domain.tracking.follows import FollowSettings, FollowWhen
from domain.tracking.settings import RepositorySettings
from infrastructure.observability.prometheus_metrics import REPOSITORY_CHECKS
from tests.fixtures.jobs import claim_next, end_attempt, new_run
from tests.integration.worker.tracking.conftest import Tracked
from worker.client import RepositoryChanges
from worker.tracking.head_check import FoundHeads
from worker.tracking.run_ends import RunEndApplier
from worker.tracking.tracker import RepositoryTracker

REPOSITORIES = 6
ROUNDS = 12
Call = Callable[[UUID], Awaitable[Any]]
TOLD = FollowSettings(when=FollowWhen.END, notify_url="https://hooks.example.org/x")


class MovingHeads:
    """Host on which every branch moves every few questions."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    async def heads(self, url: str, branches: Any, token: str | None) -> FoundHeads:
        await asyncio.sleep(random.random() / 100)
        return FoundHeads(default_branch="main", commits={"main": f"{next(self.numbers) // 5:040x}"})


async def end_jobs(tracked: Tracked) -> None:
    """End some pending jobs in one transaction, as workers do in batches."""
    async with tracked.database.unit_of_work() as work:
        for number in range(3):
            claim = await claim_next(work)
            if claim is None:
                return
            run = replace(new_run(claim.job.user_id, claim.job.job_id), options=claim.job.options)
            await (end_attempt(work, claim, run) if number else end_attempt(work, claim, message="it failed"))


def interrupted() -> float:
    """Count the checks that PostgreSQL ended, as at a deadlock: these raise nothing."""
    return float(REPOSITORY_CHECKS.labels("interrupted")._value.get())


async def add_repositories(tracked: Tracked, users: list[UUID]) -> dict[UUID, list[UUID]]:
    """Let each user track public repositories. Returns their ids by user."""
    found: dict[UUID, list[UUID]] = {user: [] for user in users}
    for user, number in itertools.product(users, range(REPOSITORIES)):
        url, settings = tracked.server.url(f"o/r{number}"), RepositorySettings(public=True)
        found[user].append((await tracked.client.repositories.add(user, url=url, settings=settings)).repository_id)
    return found


def calls_of_owners(tracked: Tracked, mine: dict[UUID, list[UUID]]) -> list[Call]:
    repositories = tracked.client.repositories
    everything = [each for ids in mine.values() for each in ids]
    changes = RepositoryChanges(description="x", schedule="* * * * *")
    return [
        lambda user: repositories.check(user, random.choice(mine[user])),
        lambda user: repositories.update(user, random.choice(mine[user]), changes),
        lambda user: repositories.follow(user, random.choice(everything), TOLD),
        lambda user: repositories.unfollow(user, random.choice(everything)),
    ]


def work_of_replicas(tracked: Tracked) -> list[Call]:
    services = replace(tracked.services, heads=MovingHeads())  # type: ignore[arg-type]
    return [
        lambda _: RepositoryTracker(services).run_until_idle(),
        lambda _: end_jobs(tracked),
        lambda _: RunEndApplier(tracked.database, lambda: None).apply_all(),
    ]


async def run_all(calls: list[Call], users: list[UUID], *further: Coroutine[Any, Any, None]) -> None:
    """Make each call many times, for a user chosen at random, all at the same time."""

    async def run(call: Call) -> None:
        for _ in range(ROUNDS):
            with suppress(NotFoundError):  # one who does not follow
                await call(random.choice(users))

    async with asyncio.TaskGroup() as group:
        for work in (*further, *map(run, calls)):
            group.create_task(work)


async def test_everything_at_the_same_time(tracked: Tracked) -> None:
    before = interrupted()
    users = [tracked.user_id, await tracked.client.get_or_create_user("bob@example.org")]
    mine, work_done = await add_repositories(tracked, users), work_of_replicas(tracked)
    await run_all([*calls_of_owners(tracked, mine), *work_done] * 2, users)
    query = "SELECT options ->> 'repository_id' AS id, source_metadata ->> 'tracked_head' AS head FROM jobs"
    async with tracked.database.unit_of_work() as work:
        jobs = Counter((row.id, row.head) for row in await work.execute(text(query)))
    assert jobs
    assert set(jobs.values()) == {1}
    await run_all(work_done, users, tracked.client.delete_user(users[1]))
    async with tracked.database.unit_of_work() as work:
        for table, column in (
            ("repositories", "owner_id"),
            ("user_repository_follows", "user_id"),
            ("jobs", "user_id"),
        ):
            left = text(f"SELECT count(*) FROM {table} WHERE {column} = :user")  # noqa: S608 - fixed names
            assert await work.scalar(left, {"user": users[1]}) == 0
    assert interrupted() == before
