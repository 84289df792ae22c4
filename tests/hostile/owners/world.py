"""Two users and what belongs to them, for the tests that no call crosses from one to the other."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.jobs import Claim
from infrastructure.database.engine import Database
from tests.fixtures.jobs import claim_next, end_attempt, new_run
from worker.client import Client

Call = Callable[[Client, UUID, Any], Awaitable[Any]]
"""A call of the client by a user. The last argument is the id of a thing; for calls of no thing, a key or None."""


@dataclass
class World:
    """Two users, a client, and direct access to the database."""

    client: Client
    database: Database
    queries: tuple[str, ...]
    users: list[UUID] = field(default_factory=list)

    async def create_users(self) -> None:
        self.users = [await self.client.get_or_create_user(f"{uuid.uuid4().hex}@example.org") for _ in range(2)]

    async def rows_of(self, user_id: UUID) -> list[str]:
        """Return all rows and tokens of the user."""
        async with self.database.unit_of_work() as work:
            found = [row for query in self.queries for row in await work.scalars(text(query), {"id": user_id})]
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


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A kind of thing that belongs to a user, and the client's calls about it."""

    make: Callable[[World, UUID], Awaitable[Any]]
    """Makes one of the user's, and returns its id."""
    unknown: Callable[[], Any]
    """Returns an id of none."""
    calls: Mapping[str, Call]
    """Calls about one thing. Each refuses another user's."""
    own: Mapping[str, Call] = field(default_factory=dict)
    """Calls that name no thing, and are about the caller's own alone."""
    query: str
    """SQL of the rows of the user :id."""
