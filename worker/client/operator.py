"""The client's calls that ask nobody whose jobs they are: for operators. No API may offer them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from domain.errors import ServiceUnavailableError
from domain.jobs import Job, JobStatus, SubmissionLimits
from infrastructure.database.engine import Database
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.redis.queue import JobQueue
from worker.client.submissions import Submitter

log = structlog.get_logger(__name__)


class OperatorCalls:
    """Jobs by their ids alone."""

    def __init__(self, database: Database, doorbell: JobQueue, submitter: Submitter, limits: SubmissionLimits) -> None:
        self._database = database
        self._doorbell = doorbell
        self._submitter = submitter
        self._limits = limits

    async def owner_of(self, job_id: str) -> UUID:
        """Whose job it is. Raises NotFoundError."""
        async with self._database.unit_of_work() as work:
            return (await JobRepository(work).get(job_id)).user_id

    async def select_jobs(
        self, user_id: UUID | None, statuses: Sequence[JobStatus], *, since: datetime | None, limit: int
    ) -> list[str]:
        """The ids of a user's jobs, or everybody's, in these states, the oldest `limit`, oldest first."""
        async with self._database.unit_of_work() as work:
            return await JobRepository(work).select(user_id, statuses, since=since, limit=limit)

    async def cancel_jobs(self, job_ids: Sequence[str]) -> list[Job]:
        """End those that are pending or running; the others are left out of the answer."""
        async with self._database.unit_of_work() as work:
            cancelled = await JobRepository(work).cancel_all(job_ids)
        for job in cancelled:
            if job.source_metadata.get("has_token"):
                await self._submitter.forget(job.job_id)
            await self._tell(job)
        return cancelled

    async def retry_jobs(self, job_ids: Sequence[str], *, limited_user: UUID | None) -> list[Job]:
        """Put failed jobs back in line with their attempts forgiven; what cannot be is left out of the answer.

        `limited_user` is the one user whose jobs they are, where the limit of unfinished jobs is to hold: then the
        oldest come first.
        """
        async with self._database.unit_of_work() as work:
            jobs, room = JobRepository(work), None
            if limited_user is not None:
                await jobs.lock_user(limited_user)
                room = max(0, self._limits.max_unfinished - (await jobs.usage(limited_user)).unfinished)
            requeued = await jobs.requeue_all(job_ids, most=room)
        await self._submitter.ring(requeued)
        return requeued

    async def _tell(self, job: Job) -> None:
        event = {"status": job.status, "stage": job.stage, "progress": job.progress}
        try:
            await self._doorbell.publish(job.job_id, event)
        except ServiceUnavailableError:
            log.debug("progress.publish_failed", job_id=job.job_id)
