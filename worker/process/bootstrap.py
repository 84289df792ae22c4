"""Composition root of the worker: the implementation of each port, and the setup of ARQ."""

import socket
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

from arq import func
from arq.connections import ArqRedis
from arq.worker import Worker

from domain.errors import ServiceUnavailableError
from domain.sandbox import Guarantee
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.database.server.session_lock import SessionLock
from infrastructure.observability.tracing import Tracer
from infrastructure.outbound.webhook_sender import WebhookSender
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.facts_cache import RedisFactsCache
from infrastructure.redis.queue import (
    QUEUE_NAME,
    TASK_NAME,
    WAKEUP_SECONDS,
    JobQueue,
    connect,
    deserialize,
    redis_settings,
    serialize,
)
from infrastructure.redis.token_vault import TokenVault
from infrastructure.redis.wakeup_worker import WakeupWorker
from infrastructure.redis.worker_registry import WorkerRegistry
from infrastructure.settings import Settings
from worker.analysis.core_pool import CorePool
from worker.analysis.facts.source_facts import SourceFacts
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import MB, open_pipeline
from worker.jobs.dead_workers import DeadWorkerDetector
from worker.jobs.end_batcher import EndBatcher
from worker.jobs.lease_keeper import LeaseKeeper
from worker.jobs.maintenance import Maintenance
from worker.jobs.rescue import JobRescuer
from worker.jobs.room_elsewhere import RoomElsewhere
from worker.jobs.run_review import RunReviewer
from worker.jobs.runner import JobRunner
from worker.jobs.webhook_dispatcher import WebhookDispatcher
from worker.process.backpressure import Backpressure
from worker.process.job_pool import JobPool
from worker.process.tasks import analyze
from worker.tracking.head_check import HeadCheck
from worker.tracking.run_ends import RunEndApplier
from worker.tracking.tracker import RepositoryTracker, TrackingServices

ARQ_UNLIMITED = 10**6
"""ARQ's limit on attempts is never reached: PostgreSQL counts the attempts at a job."""

WAKEUPS_AT_ONCE = 8
"""Queue entries that ARQ runs at the same time. Each only makes the worker claim, so this limits no jobs."""

PREFETCH = 2
"""Jobs that a worker claims beyond its cores, so that the next ones are fetched while others compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The opened services of a worker process."""

    settings: Settings
    worker_id: str
    database: Database
    backpressure: Backpressure
    leases: LeaseKeeper
    pool: JobPool
    webhooks: WebhookDispatcher
    tracker: RepositoryTracker
    run_ends: RunEndApplier
    maintenance: Maintenance
    dead_workers: DeadWorkerDetector
    lock: SessionLock
    cores: CorePool
    registry: WorkerRegistry
    guarantees: Sequence[Guarantee]


def token_vault(settings: Settings, redis: ArqRedis) -> TokenVault:
    """Return the vault for repository tokens. Raises InvalidInputError for an invalid key."""
    keys = [key.get_secret_value() for key in settings.token_encryption_keys]
    return TokenVault(redis, keys, ttl_seconds=settings.token_ttl)


@asynccontextmanager
async def open_services(settings: Settings, *, on_job: Callable[[], None], tracer: Tracer) -> AsyncIterator[Services]:
    """Connect to all services and start the zygote. Raises ServiceUnavailableError and InvalidInputError.

    `on_job` is called after each attempt at a job.
    """
    async with AsyncExitStack() as stack:
        database = Database.from_settings(settings, "vibe8-worker")
        stack.push_async_callback(database.close)
        await database.ping()
        redis = await connect(settings.redis_dsn().get_secret_value())
        stack.push_async_callback(redis.aclose)
        pipeline = await _open_pipeline(settings, redis, stack)
        webhooks = WebhookDispatcher(database, _webhook_sender(settings, stack))
        ends = RunEndApplier(database, webhooks.wake)
        queue, vault = JobQueue(redis), token_vault(settings, redis)
        events = EventPublisher(redis)
        stack.push_async_callback(events.flush)
        with suppress(ServiceUnavailableError):  # a read-only or full Redis keeps no worker from its work
            await queue.purge_old_entries()
        leases = LeaseKeeper(database, queue)
        worker_id = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        registry, lock = WorkerRegistry(redis), SessionLock.from_settings(settings, worker_id)
        stack.push_async_callback(lock.close)
        runner = JobRunner(
            worker_id=worker_id,
            database=database,
            ends=EndBatcher(database),
            room_elsewhere=RoomElsewhere(registry, worker_id),
            on_hand_back=lambda: pool.hold_back(),  # noqa: PLW0108 - it is made below
            queue=queue,
            events=events,
            vault=vault,
            leases=leases,
            pipeline=pipeline,
            reviewer=RunReviewer(database),
            git=_git_options(settings),
            on_webhook_due=webhooks.wake,
            on_tracked_end=ends.wake,
            tracer=tracer,
        )
        backpressure = _backpressure(settings, pipeline)
        share = settings.share_child_jobs if pipeline.uses_cores else 1
        pool = JobPool(runner, backpressure, room=room(settings, pipeline), share=share, on_job=on_job)
        rescuer = JobRescuer(
            database=database, queue=queue, events=events, vault=vault, on_due=pool.wake, tracer=tracer
        )
        yield Services(
            settings=settings,
            worker_id=worker_id,
            database=database,
            backpressure=backpressure,
            leases=leases,
            pool=pool,
            webhooks=webhooks,
            tracker=RepositoryTracker(_tracking(settings, database, pipeline, queue, vault, pool.wake)),
            run_ends=ends,
            maintenance=Maintenance(database=database, settings=settings, rescuer=rescuer),
            dead_workers=DeadWorkerDetector(database=database, registry=registry, lock=lock, rescuer=rescuer),
            lock=lock,
            cores=pipeline.cores,
            guarantees=pipeline.guarantees,
            registry=registry,
        )


async def _open_pipeline(settings: Settings, redis: ArqRedis, stack: AsyncExitStack) -> Pipeline:
    pipeline = await stack.enter_async_context(open_pipeline(settings))
    if not settings.facts_cache_mb:
        return pipeline
    cache = RedisFactsCache(redis, settings.facts_cache_mb * MB)
    return replace(pipeline, facts=SourceFacts(cache, pipeline.limits))


def _git_options(settings: Settings) -> dict[str, JSON]:
    return {
        "allowed_hosts": list(settings.git_allowed_hosts),
        "ca_bundle": str(settings.git_ca_bundle) if settings.git_ca_bundle else None,
    }


def _tracking(
    settings: Settings,
    database: Database,
    pipeline: Pipeline,
    queue: JobQueue,
    vault: TokenVault,
    on_job: Callable[[], None],
) -> TrackingServices:
    heads = HeadCheck(
        children=pipeline.children,
        scratch_dir=pipeline.scratch_dir,
        memory=pipeline.memory,
        places=pipeline.fetches,
        git=_git_options(settings),
    )
    return TrackingServices(
        database=database,
        heads=heads,
        queue=queue,
        vault=vault,
        plans=settings.plans,
        at_once=pipeline.memory.checks,
        on_job=on_job,
    )


def _backpressure(settings: Settings, pipeline: Pipeline) -> Backpressure:
    return Backpressure(
        scratch=pipeline.scratch_dir,
        min_disk_mb=settings.min_free_disk_mb,
        min_memory_mb=settings.min_free_memory_mb,
    )


def _webhook_sender(settings: Settings, stack: AsyncExitStack) -> WebhookSender:
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    sender = WebhookSender(secrets, settings.webhook_allowed_hosts)
    stack.push_async_callback(sender.aclose)
    return sender


def room(settings: Settings, pipeline: Pipeline) -> int:
    """Return how many jobs this worker claims at most: what its cores compute and a few more, within ARQ_MAX_JOBS."""
    if not pipeline.uses_cores:
        return settings.arq_max_jobs
    return min(settings.arq_max_jobs, pipeline.cores.count + PREFETCH)


def arq_worker(services: Services) -> Worker:
    """Return an ARQ worker that only delivers wake-ups: no results, no limits, no signal handlers, JSON payloads."""
    settings = services.settings
    return WakeupWorker(
        [func(analyze, name=TASK_NAME, timeout=WAKEUP_SECONDS, max_tries=ARQ_UNLIMITED)],
        queue_name=QUEUE_NAME,
        redis_settings=redis_settings(settings.redis_dsn().get_secret_value()),
        ctx={"pool": services.pool},
        handle_signals=False,
        wakeups_wanted=lambda: services.pool.wakeups_wanted,
        max_jobs=WAKEUPS_AT_ONCE,
        job_timeout=WAKEUP_SECONDS,
        keep_result=settings.arq_keep_result,
        poll_delay=settings.arq_poll_delay,
        max_tries=ARQ_UNLIMITED,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )
