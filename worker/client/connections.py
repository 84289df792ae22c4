"""Connections of a client to PostgreSQL and Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog

from domain.errors import ServiceUnavailableError
from domain.jobs import Job
from domain.statistics.ends import Outcome
from infrastructure.database.engine import Database
from infrastructure.observability.tracer_factory import open_tracer
from infrastructure.observability.tracing import Tracer
from infrastructure.redis.end_counts import EndCounts
from infrastructure.redis.key_usage import KeyUsage
from infrastructure.redis.queue import JobQueue, connect, connect_lazily
from infrastructure.redis.report_passwords import ReportPasswords
from infrastructure.redis.token_vault import TokenVault
from infrastructure.redis.worker_registry import WorkerRegistry
from infrastructure.settings import Settings
from worker.results.document_cache import DocumentCache
from worker.watching.job_watcher import JobWatcher

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """The services that a client uses.

    PostgreSQL holds the truth. The methods write to Redis after a commit: where Redis is unreachable they log the
    failure and return, because a worker finds the row without them.
    """

    database: Database
    queue: JobQueue
    vault: TokenVault
    key_usage: KeyUsage
    registry: WorkerRegistry
    report_passwords: ReportPasswords
    watcher: JobWatcher
    end_counts: EndCounts
    report_documents: DocumentCache = field(default_factory=DocumentCache)

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Add the jobs to the queue. Idle workers find pending rows within seconds if this fails."""
        if not jobs:
            return
        try:
            await self.queue.enqueue([job.job_id for job in jobs])
        except ServiceUnavailableError as error:
            log.warning("queue.enqueue_failed", job_id=jobs[0].job_id, jobs=len(jobs), reason=str(error))

    async def publish_state(self, job: Job) -> None:
        """Publish the job's status, stage and progress to those who watch it."""
        event = {"status": job.status, "stage": job.stage, "progress": job.progress}
        try:
            await self.queue.publish(job.job_id, event)
        except ServiceUnavailableError:
            log.debug("progress.publish_failed", job_id=job.job_id)

    async def announce_cancelled(self, jobs: Sequence[Job]) -> None:
        """Publish the states of jobs that were just cancelled, delete their tokens, and count those that have ended.

        A worker ends and counts the others.
        """
        for job in jobs:
            if job.source_metadata.get("has_token"):
                await self.delete_token(job.job_id)
            await self.publish_state(job)
        if ended := sum(job.status.finished for job in jobs):
            try:
                await self.end_counts.add(Outcome.CANCELLED, ended)
            except ServiceUnavailableError:
                log.debug("job.end_publish_failed", jobs=ended)

    async def delete_token(self, job_id: str) -> None:
        """Delete the job's repository token. It expires by itself if this fails."""
        try:
            await self.vault.delete(job_id)
        except ServiceUnavailableError:
            log.debug("token.delete_failed", job_id=job_id)

    async def delete_tokens(self, job_ids: Sequence[str]) -> None:
        """Delete the repository tokens of these jobs. They expire by themselves if this fails."""
        try:
            await self.vault.delete(*job_ids)
        except ServiceUnavailableError:
            log.debug("token.delete_failed", job_id=job_ids[0])


@contextlib.asynccontextmanager
async def open_connections(settings: Settings, *, lazy_redis: bool = False) -> AsyncIterator[Connections]:
    """Connect, and close everything at the end.

    With `lazy_redis`, Redis is contacted by the first call that needs it. Raises ServiceUnavailableError.
    """
    async with contextlib.AsyncExitStack() as stack:
        database = Database.from_settings(settings, "vibe8-client")
        stack.push_async_callback(database.close)
        address = settings.redis_dsn().get_secret_value()
        redis = connect_lazily(address) if lazy_redis else await connect(address)
        stack.push_async_callback(redis.aclose)
        keys = [key.get_secret_value() for key in settings.token_encryption_keys]
        vault = TokenVault(redis, keys, ttl_seconds=settings.token_ttl)
        watcher = JobWatcher(database, redis)
        stack.push_async_callback(watcher.close)
        yield Connections(
            database=database,
            queue=JobQueue(redis),
            vault=vault,
            key_usage=KeyUsage(redis),
            registry=WorkerRegistry(redis),
            report_passwords=ReportPasswords(redis),
            watcher=watcher,
            end_counts=EndCounts(redis),
        )


@contextlib.asynccontextmanager
async def environment_tracer() -> AsyncIterator[Tracer]:
    """Open the tracer that the environment configures, and send the spans that are left at the end."""
    tracer = open_tracer()
    try:
        yield tracer
    finally:
        if tracer.enabled:
            await asyncio.to_thread(tracer.close)
