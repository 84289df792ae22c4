"""Checks, ends of jobs, calls of owners and followers at the same time: no deadlock, and one job for each change."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
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


async def test_everything_at_the_same_time(tracked: Tracked) -> None:
    before = interrupted()
    repositories = tracked.client.repositories
    users = [tracked.user_id, await tracked.client.get_or_create_user("bob@example.org")]
    heads = MovingHeads()
    services = replace(tracked.services, heads=heads)  # type: ignore[arg-type]
    mine: dict[UUID, list[UUID]] = {}
    for user in users:
        added = [
            await repositories.add(
                user, url=f"https://{tracked.server.allowed_host}/o/r{n}", settings=RepositorySettings(public=True)
            )
            for n in range(REPOSITORIES)
        ]
        mine[user] = [each.repository_id for each in added]
    everything = [each for ids in mine.values() for each in ids]

    def any_of(user: UUID) -> UUID:
        return random.choice(mine[user])

    calls: list[Callable[[UUID], Awaitable[Any]]] = [
        lambda user: repositories.check(user, any_of(user)),
        lambda user: repositories.update(user, any_of(user), RepositoryChanges(description="x", schedule="* * * * *")),
        lambda user: repositories.follow(user, random.choice(everything), TOLD),
        lambda user: repositories.unfollow(user, random.choice(everything)),
        lambda _: RepositoryTracker(services).run_until_idle(),
        lambda _: end_jobs(tracked),
        lambda _: RunEndApplier(tracked.database, lambda: None).apply_all(),
    ]

    async def run(call: Callable[[UUID], Awaitable[Any]]) -> None:
        for _ in range(ROUNDS):
            with suppress(NotFoundError):  # one who does not follow
                await call(random.choice(users))

    async with asyncio.TaskGroup() as group:
        for call in calls * 2:
            group.create_task(run(call))

    async with tracked.database.unit_of_work() as work:
        rows = await work.execute(
            text("SELECT options ->> 'repository_id' AS id, source_metadata ->> 'tracked_head' AS head FROM jobs")
        )
        jobs = Counter((row.id, row.head) for row in rows)
    assert jobs
    assert set(jobs.values()) == {1}
    assert interrupted() == before

    # The deletion of an owner, beside all of this.
    async with asyncio.TaskGroup() as group:
        group.create_task(tracked.client.delete_user(users[1]))
        for call in calls[4:]:
            group.create_task(run(call))
    async with tracked.database.unit_of_work() as work:
        for table, column in (
            ("repositories", "owner_id"),
            ("user_repository_follows", "user_id"),
            ("jobs", "user_id"),
        ):
            query = text(f"SELECT count(*) FROM {table} WHERE {column} = :user")  # noqa: S608 - fixed names
            assert await work.scalar(query, {"user": users[1]}) == 0
    assert interrupted() == before
