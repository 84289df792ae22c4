"""Calls about jobs. Each checks that the job belongs to the user who asks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Actor
from domain.errors import IllegalTransitionError, NotFoundError
from domain.jobs import Job, JobCursor, JobStatus
from domain.plans import Plans
from domain.text import one_line
from domain.webhooks import WebhookDelivery
from infrastructure.database.repositories.jobs import JobRepository, fetch_job, fetch_jobs
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from worker.client.accounts.ownership import owned_job
from worker.client.accounts.usage import require_room
from worker.client.connections import Connections
from worker.client.results import Completed, JobFailed, JobResult, Unfinished

MAX_LISTED_JOBS = 1_000
MAX_JOB_AGE = timedelta(days=36_500)
"""Bound of `since` in `list_jobs`: a larger one would pass the earliest date that Python can represent."""


@dataclass(frozen=True, slots=True)
class OwnedJobs:
    """The jobs of users, each for its owner. The methods are as those of `Client`."""

    connections: Connections
    plans: Plans
    actor: Actor = field(default_factory=Actor)

    async def get(self, user_id: UUID, job_id: str) -> Job:
        """See `Client.get_job`."""
        return owned_job(await fetch_job(self.connections.database, job_id), user_id)

    async def list_page(
        self,
        user_id: UUID,
        *,
        status: JobStatus | None,
        since: timedelta | None,
        limit: int,
        after: JobCursor | None,
    ) -> list[Job]:
        """See `Client.list_jobs`."""
        limit = max(1, min(limit, MAX_LISTED_JOBS))
        earliest = None if since is None else datetime.now(UTC) - min(max(since, timedelta()), MAX_JOB_AGE)
        database = self.connections.database
        return await fetch_jobs(database, user_id, status=status, since=earliest, limit=limit, after=after)

    async def webhook_deliveries(self, user_id: UUID, job_id: str) -> list[WebhookDelivery]:
        """See `Client.list_webhook_deliveries`."""
        async with self.connections.database.unit_of_work() as work:
            owned_job(await JobRepository(work).get(job_id), user_id)
            return await WebhookDeliveryRepository(work).list_for_job(job_id, user_id)

    async def find_id(self, user_id: UUID, prefix: str) -> str:
        """See `Client.find_job_id`."""
        async with self.connections.database.unit_of_work() as work:
            return await JobRepository(work).find_id(prefix, user_id)

    async def result(self, user_id: UUID, job_id: str) -> JobResult:
        """See `Client.get_result`."""
        async with self.connections.database.unit_of_work() as work:
            return await _read_result(work, user_id, job_id)

    async def take_result(self, user_id: UUID, job_id: str) -> JobResult:
        """See `Client.take_result`."""
        async with self.connections.database.unit_of_work() as work:
            result = await _read_result(work, user_id, job_id)
            if not isinstance(result, Unfinished) and not await JobRepository(work).delete(job_id, self.actor):
                raise NotFoundError(f"the result of job {one_line(job_id, 80)} has just been taken by another call")
        return result

    async def cancel(self, user_id: UUID, job_id: str) -> Job:
        """See `Client.cancel_job`."""
        async with self.connections.database.unit_of_work() as work:
            owned_job(await JobRepository(work).get(job_id), user_id)
            cancelled = await JobRepository(work).cancel_all([job_id], self.actor)
            job = cancelled[0] if cancelled else await JobRepository(work).get(job_id)
        if job.status.finished and job.cancel_requested_at is None:
            raise IllegalTransitionError(f"the job is {job.status}: there is nothing to cancel")
        await self.connections.announce_cancelled(cancelled)
        return job

    async def retry(self, user_id: UUID, job_id: str) -> Job:
        """See `Client.retry_job`."""
        async with self.connections.database.unit_of_work() as work:
            owned_job(await JobRepository(work).get(job_id), user_id)
            await require_room(work, user_id, self.plans)
            job = await JobRepository(work).retry_failed(job_id, self.actor)
        await self.connections.enqueue([job])
        return job


async def _read_result(work: AsyncConnection, user_id: UUID, job_id: str) -> JobResult:
    job = owned_job(await JobRepository(work).get(job_id), user_id)
    if not job.status.finished:
        return Unfinished(job=job)
    if job.result_run_id is not None:
        return Completed(job=job, run=await RunRepository(work).get(job.result_run_id))
    return JobFailed(job=job, error=job.error_message or "the run of this job was deleted")
