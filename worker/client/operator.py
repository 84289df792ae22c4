"""Client for operators: calls on any user's jobs, without an owner check. An API offers them to operators alone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self
from uuid import UUID

from domain.audit import Action, Actor, AuditCursor, AuditEntry
from domain.jobs import Job, JobStatus
from domain.plans import Tier
from domain.workers import PAUSED
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.queries.job_search import JobSearch
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.users import UserRepository
from infrastructure.observability.tracing import Tracer
from infrastructure.settings import Settings
from worker.client.accounts.usage import free_places
from worker.client.client import Client
from worker.client.connections import Connections, environment_tracer, open_connections
from worker.client.operators.fleet import FleetClient
from worker.client.operators.webhooks import WebhooksClient

MAX_LISTED_ENTRIES = 1_000
_OPERATOR = Actor(operator=True)


class OperatorClient:
    """Jobs of any user, named by their ids alone.

    `user_client` offers the calls of one user on the same connections; `get_job_owner` says in whose name to make them.
    """

    user_client: Client
    fleet: FleetClient
    """The queue, the workers and the checks of tracked repositories."""
    webhooks: WebhooksClient
    """Webhook deliveries."""

    def __init__(
        self, connections: Connections, settings: Settings, tracer: Tracer | None = None, actor: Actor = _OPERATOR
    ) -> None:
        self.user_client = Client(connections, settings, tracer, actor)
        self.fleet = FleetClient(connections, actor)
        self.webhooks = WebhooksClient(connections.database, actor)
        self._connections, self._settings, self._tracer, self._actor = connections, settings, tracer, actor
        self._database = connections.database
        self._plans = settings.plans

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, lazy_redis: bool = False) -> AsyncIterator[Self]:
        """Connect, with the tracer that the environment configures; `lazy_redis` as in `Client.open`.

        Raises ServiceUnavailableError.
        """
        async with environment_tracer() as tracer, open_connections(settings, lazy_redis=lazy_redis) as connections:
            yield cls(connections, settings, tracer)

    def for_request(self, address: str | None, user_agent: str | None, operator_id: UUID) -> Self:
        """Return a client on the same connections whose acts have this address, agent and operator in the audit log."""
        actor = Actor.from_request(address, user_agent, operator_id)
        return type(self)(self._connections, self._settings, self._tracer, actor)

    async def is_paused(self) -> bool:
        """Return whether `vibe8 pause` keeps all workers from claiming jobs."""
        async with self._database.unit_of_work() as work:
            return await MaintenanceRepository(work).is_control_set(PAUSED)

    async def find_job_id(self, prefix: str) -> str:
        """Return the id of the only job of any user whose id begins with `prefix`; as `Client.find_job_id`."""
        async with self._database.unit_of_work() as work:
            return await JobRepository(work).find_id(prefix)

    async def search_jobs(self, prefix: str, *, limit: int, after: str = "") -> list[tuple[str, Job]]:
        """Return one page of the jobs of all users whose ids begin with this, by id, each with its owner's email.

        For the next page, pass the id of the last job as `after`.
        """
        async with self._database.unit_of_work() as work:
            return await JobSearch(work).by_id(prefix, limit=limit, after=after)

    async def list_jobs(
        self,
        statuses: Sequence[JobStatus],
        *,
        since: datetime | None,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> list[tuple[str, Job]]:
        """Return the jobs of all users in these states, the last changed first, each with its owner's email.

        `since` leaves out jobs created before it. For the next page, pass `updated_at` and id of the last job as
        `after`.
        """
        async with self._database.unit_of_work() as work:
            return await JobRepository(work).list_all(statuses, since=since, limit=limit, after=after)

    async def get_job_owner(self, job_id: str) -> UUID:
        """Return the id of the job's owner. Raises NotFoundError."""
        async with self._database.unit_of_work() as work:
            return (await JobRepository(work).get(job_id)).user_id

    async def select_jobs(
        self, user_id: UUID | None, statuses: Sequence[JobStatus], *, since: datetime | None, limit: int
    ) -> list[str]:
        """Return the ids of jobs in these states, oldest first; those of all users where `user_id` is None.

        `since` leaves out jobs created before it. Of more than `limit` jobs, the oldest are returned.
        """
        async with self._database.unit_of_work() as work:
            return await JobRepository(work).select_ids(user_id, statuses, since=since, limit=limit)

    async def cancel_jobs(self, job_ids: Sequence[str]) -> list[Job]:
        """Cancel those that are pending or running, and return them."""
        async with self._database.unit_of_work() as work:
            cancelled = await JobRepository(work).cancel_all(job_ids, self._actor)
        await self._connections.announce_cancelled(cancelled)
        return cancelled

    async def retry_jobs(self, job_ids: Sequence[str], *, limited_user: UUID | None) -> list[Job]:
        """Make failed jobs pending again, with their attempts reset, and return those that could be retried.

        Pass the owner of all the jobs as `limited_user` to apply that user's limit of unfinished jobs: the oldest jobs
        are retried first. With None no limit applies.
        """
        async with self._database.unit_of_work() as work:
            free = None if limited_user is None else await free_places(work, limited_user, self._plans)
            requeued = await JobRepository(work).retry_all(job_ids, limit=free, actor=self._actor)
        await self._connections.enqueue(requeued)
        return requeued

    async def find_user(self, named: str) -> UUID:
        """Return the id of the user with this email; text that is an id is returned as it is. Raises NotFoundError."""
        async with self._database.unit_of_work() as work:
            return await UserRepository(work).find_id(named)

    async def set_tier(self, user_id: UUID, tier: Tier) -> str:
        """Change the user's plan, from the next submission on, and return the tier before. Raises NotFoundError."""
        async with self._database.unit_of_work() as work:
            return await UsageRepository(work).set_tier(user_id, tier, self._actor)

    async def list_audit_entries(
        self,
        *,
        user_id: UUID | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: AuditCursor | None = None,
    ) -> list[AuditEntry]:
        """Return one page of the audit log, newest first, at most `limit` and MAX_LISTED_ENTRIES.

        For the next page, pass the `cursor` of the last entry as `after`; an empty page is the end. All pages cost the
        same.
        """
        limit = max(1, min(limit, MAX_LISTED_ENTRIES))
        async with self._database.unit_of_work() as work:
            return await AuditRepository(work).list_entries(
                user_id=user_id, action=action, since=since, limit=limit, after=after
            )
