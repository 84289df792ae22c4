"""Composition root of the worker: the implementation of each port, and the setup of ARQ."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from arq import func
from arq.connections import ArqRedis
from arq.typing import StartupShutdown
from arq.worker import Worker

from domain.sandbox import Guarantee
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.observability.tracing import Tracer
from infrastructure.outbound.webhook_sender import WebhookSender
from infrastructure.redis.facts_cache import RedisFactsCache
from infrastructure.redis.queue import QUEUE_NAME, TASK_NAME, JobQueue, connect, deserialize, redis_settings, serialize
from infrastructure.redis.token_vault import TokenVault
from infrastructure.redis.wakeup_worker import WakeupWorker
from infrastructure.redis.worker_registry import WorkerRegistry
from infrastructure.settings import Settings
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import MB, open_pipeline
from worker.analysis.source_facts import SourceFacts
from worker.jobs.lease_keeper import LeaseKeeper
from worker.jobs.maintenance import Maintenance
from worker.jobs.runner import JobRunner
from worker.jobs.webhook_dispatcher import WebhookDispatcher
from worker.process.backpressure import Backpressure
from worker.process.job_pool import JobPool
from worker.process.tasks import analyze

ARQ_UNLIMITED = 10**6
"""ARQ's limits on attempts and time are never reached: PostgreSQL counts attempts, and children have deadlines."""

MAX_FLEET_SLOTS = 1024
"""Limit on the slots of a fleet. A poll reads at most `queue_read_limit` entries, those in progress included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The opened services of a worker process."""

    settings: Settings
    database: Database
    backpressure: Backpressure
    leases: LeaseKeeper
    pool: JobPool
    webhooks: WebhookDispatcher
    maintenance: Maintenance
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
        queue, vault = JobQueue(redis), token_vault(settings, redis)
        leases = LeaseKeeper(database, queue)
        runner = JobRunner(
            database=database,
            queue=queue,
            vault=vault,
            leases=leases,
            pipeline=pipeline,
            git=_git_options(settings),
            on_webhook_due=webhooks.wake,
            tracer=tracer,
        )
        backpressure = _backpressure(settings, pipeline)
        pool = JobPool(runner, backpressure, slots=settings.arq_max_jobs, on_job=on_job)
        yield Services(
            settings=settings,
            database=database,
            backpressure=backpressure,
            leases=leases,
            pool=pool,
            webhooks=webhooks,
            maintenance=Maintenance(
                database=database,
                queue=queue,
                vault=vault,
                settings=settings,
                free_slots=lambda: pool.free,
                tracer=tracer,
            ),
            cores=pipeline.cores,
            guarantees=pipeline.guarantees,
            registry=WorkerRegistry(redis),
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


def arq_worker(services: Services, *, on_startup: StartupShutdown) -> Worker:
    """Return an ARQ worker that only delivers wake-ups: no results, no limits, no signal handlers, JSON payloads."""
    settings = services.settings
    return WakeupWorker(
        [func(analyze, name=TASK_NAME, timeout=ARQ_UNLIMITED, max_tries=ARQ_UNLIMITED)],
        queue_name=QUEUE_NAME,
        redis_settings=redis_settings(settings.redis_dsn().get_secret_value()),
        ctx={"pool": services.pool},
        on_startup=on_startup,
        handle_signals=False,
        max_jobs=settings.arq_max_jobs,
        job_timeout=ARQ_UNLIMITED,
        keep_result=settings.arq_keep_result,
        poll_delay=settings.arq_poll_delay,
        queue_read_limit=2 * MAX_FLEET_SLOTS,
        max_tries=ARQ_UNLIMITED,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )
