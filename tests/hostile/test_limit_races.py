"""Limits of a user's jobs: no race of concurrent calls exceeds one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import IllegalTransitionError, InvalidInputError, LimitExceededError, NotFoundError
from domain.jobs import JobStatus
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.engine import Database
from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.jobs import claim_next, end_attempt
from tests.fixtures.worker_process import System
from worker.client import Client

LIMIT, DAILY = 5, 20


@dataclass
class Race:
    """Concurrent clients of one user, while the unfinished jobs are counted all the time."""

    database: Database
    clients: Sequence[Client]
    user_id: UUID
    most: int = 0
    accepted: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    running: bool = True

    async def count(self) -> None:
        statement = text("SELECT count(*) FROM jobs WHERE user_id = :id AND status IN ('pending', 'running')")
        while self.running:
            async with self.database.unit_of_work() as work:
                self.most = max(self.most, int(await work.scalar(statement, {"id": self.user_id}) or 0))
            await asyncio.sleep(0)

    async def submit(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
        with suppress(LimitExceededError):
            await client.submit_upload(self.user_id, filename="a.py", content=b"x = 1\n")
            self.accepted += 1

    async def change_jobs(self, number: int) -> None:
        """Cancel, retry, fail or take the jobs, so that the number of unfinished ones changes during submissions."""
        client = self.clients[number % len(self.clients)]
        for job in await client.list_jobs(self.user_id):
            with suppress(NotFoundError, IllegalTransitionError, InvalidInputError, LimitExceededError):
                calls = (client.cancel_job, client.retry_job, client.take_result, self.fail)
                call = calls[(number + len(job.job_id) + ord(job.job_id[0])) % 4]
                await call(self.user_id, job.job_id)
                self.changed[call.__name__] += 1

    async def fail(self, _: UUID, job_id: str) -> None:
        """Fail a job, as a worker would. A failed upload can be retried."""
        async with self.database.unit_of_work() as work:
            claim = await claim_next(work, 600)
        if claim is not None:
            async with self.database.unit_of_work() as work:
                await end_attempt(work, claim, message="it failed")

    async def submit_repository(self, number: int) -> None:
        """Submit a repository with a token."""
        client = self.clients[number % len(self.clients)]
        with suppress(LimitExceededError):
            await client.submit_repository(self.user_id, url="https://github.com/owner/repo", token="a token")
            self.accepted += 1


@pytest.fixture
async def race(user_id: UUID, system: System) -> AsyncIterator[Race]:
    settings = system.settings.model_copy(
        update={"max_concurrent_jobs_per_user": LIMIT, "daily_job_limit_per_user": DAILY}
    )
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(CheckedClient.open(settings)) for _ in range(3)]
        database = Database.from_settings(system.settings)
        stack.push_async_callback(database.close)
        racing = Race(database=database, clients=clients, user_id=user_id)
        counting = asyncio.create_task(racing.count())
        yield racing
        racing.running = False
        await counting


async def used_today(race: Race) -> int:
    async with race.database.unit_of_work() as work:
        return (await UsageRepository(work).usage(race.user_id)).today


async def test_concurrent_submissions_stop_at_the_limit(race: Race) -> None:
    calls = (race.submit, race.submit_repository)
    await asyncio.gather(*(calls[number % 2](number) for number in range(50)))
    assert race.accepted == LIMIT
    assert race.most == LIMIT
    assert await used_today(race) == LIMIT
    tokens = [key async for key in race.clients[0]._connections.vault._redis.scan_iter("vibe8:token:*")]
    jobs = await race.clients[0].list_jobs(race.user_id)
    assert len(tokens) == sum(job.source_metadata.get("has_token", False) for job in jobs)


async def test_concurrent_calls_do_not_exceed_a_limit(race: Race) -> None:
    for turn in range(6):
        await asyncio.gather(
            *(race.submit(number) for number in range(12)),
            *(race.submit_repository(number) for number in range(8)),
            *(race.change_jobs(number + turn) for number in range(6)),
        )
    assert race.most == LIMIT
    assert race.accepted == DAILY == await used_today(race)
    assert {"cancel_job", "take_result"} <= set(race.changed)


async def test_concurrent_retries_do_not_exceed_the_limit(race: Race) -> None:
    client, failed = race.clients[0], []
    for _ in range(3):
        for _ in range(LIMIT):
            await race.submit(0)
        for job in await client.list_jobs(race.user_id, status=JobStatus.PENDING):
            failed.append(job.job_id)
            await race.fail(race.user_id, job.job_id)
    assert len(failed) == 3 * LIMIT

    async def retry(number: int, job_id: str) -> bool:
        try:
            await race.clients[number % 3].retry_job(race.user_id, job_id)
        except (LimitExceededError, IllegalTransitionError):
            return False
        return True

    done = await asyncio.gather(*(retry(number, job_id) for number, job_id in enumerate(failed * 3)))
    assert sum(done) == LIMIT
    assert race.most == LIMIT
