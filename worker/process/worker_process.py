"""Main loop of the worker process: startup, ARQ in a restart loop, background tasks, and draining."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from domain.errors import ServiceUnavailableError
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.prometheus_metrics import DATABASE_CONNECTIONS, READY, SCRATCH_FREE, SLOTS
from infrastructure.observability.status_server import StatusServer
from infrastructure.observability.tracer_factory import open_tracer
from infrastructure.observability.tracing import Tracer
from infrastructure.settings import Settings, misspelt_settings
from worker.process.bootstrap import Services, arq_worker, open_services
from worker.process.health import Health
from worker.process.registration import WorkerRegistration
from worker.process.startup import wait_for_services

RESTART_SECONDS = 1.0
HEALTH_SECONDS = 1.0
LOG_SECONDS = 60.0
REDIS_ERRORS = (RedisError, OSError, TimeoutError, ServiceUnavailableError)

if TYPE_CHECKING:
    from arq.typing import StartupShutdown

log = structlog.get_logger(__name__)


class WorkerProcess:
    """Runs jobs until it is drained."""

    def __init__(self, settings: Settings, tracer: Tracer | None = None) -> None:
        """`tracer` is closed at the end; by default it is the one that the environment configures."""
        self._settings = settings
        self._tracer = tracer or open_tracer()
        self._draining = asyncio.Event()
        self._force = asyncio.Event()
        self._jobs = 0
        self._health = Health()
        self._services: Services | None = None
        self.recycling = False
        """Whether it drains because it has run RECYCLE_AFTER_JOBS jobs, and should be started again."""

    def handle_signals(self) -> None:
        """Drain at SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self.drain)

    def drain(self) -> None:
        """Claim no more jobs, and let running ones finish within SHUTDOWN_GRACE. A second call requeues them at once.

        A requeued job loses no attempt.
        """
        if self._draining.is_set():
            self._force.set()
        self._draining.set()

    def _count_job(self) -> None:
        self._jobs += 1
        limit = self._settings.recycle_after_jobs
        if limit and self._jobs == limit:
            self.recycling = True
            self._draining.set()

    async def run(self) -> None:
        """Wait for the services, then run jobs until drained.

        Raises ServiceUnavailableError if they are not available within STARTUP_WAIT, and InvalidInputError if the
        settings require a sandbox that this machine cannot provide.
        """
        status = self._status_server()
        port = None if status is None else status.port
        log.info("worker.starting", version=version("vibe8-worker"), status_port=port)
        if misspelt := misspelt_settings(os.environ):
            log.warning("settings.not_read", variables=misspelt)
        health = asyncio.create_task(_run_forever("health", self._update_health))
        try:
            if await wait_for_services(self._settings, self._draining, self._health.wait_for):
                async with open_services(self._settings, on_job=self._count_job, tracer=self._tracer) as services:
                    slots, cores = services.pool.slots, services.cores.count
                    log.info("worker.started", slots=slots, cores=cores, status_port=port)
                    _log_sandbox(services)
                    exempt_from_collection()
                    await self._work(services)
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)
            if status is not None:
                await asyncio.to_thread(status.close)
            await asyncio.to_thread(self._tracer.close)
        log.info("worker.stopped", jobs=self._jobs)

    async def _work(self, services: Services) -> None:
        self._services, self._health.pool = services, services.pool
        registration = self._registration(services)

        async def claim() -> None:
            await registration.first_report()  # a worker that dies at its first job is noticed, too
            await services.pool.run()

        background = [
            asyncio.create_task(_run_forever("leases", services.leases.run)),
            asyncio.create_task(_run_forever("pool", claim)),
            asyncio.create_task(_run_forever("maintenance", services.maintenance.run)),
            asyncio.create_task(_run_forever("lock", services.lock.run)),
            asyncio.create_task(_run_forever("dead workers", services.dead_workers.run)),
            asyncio.create_task(_run_forever("webhooks", services.webhooks.run)),
            asyncio.create_task(_run_forever("repository checks", services.tracker.run)),
            asyncio.create_task(_run_forever("run ends", services.run_ends.run)),
            asyncio.create_task(_run_forever("registration", registration.run)),
        ]
        consuming = asyncio.create_task(self._consume(services))
        try:
            await self._draining.wait()
            log.info("worker.draining")
            # Requeued jobs must not be claimed by this worker again.
            services.pool.draining = True
            consuming.cancel()
            await asyncio.gather(consuming, return_exceptions=True)
            await services.pool.drain(self._settings.shutdown_grace, self._force)
        finally:
            self._services = None
            for task in (consuming, *background):
                task.cancel()
            await asyncio.gather(consuming, *background, return_exceptions=True)

    async def _update_health(self) -> None:
        """Show that the event loop runs, and update the gauges."""
        while True:
            self._health.record_heartbeat()
            READY.set(self._health.not_ready_reason() is None)
            if self._services is not None:
                _update_gauges(self._services)
            await asyncio.sleep(HEALTH_SECONDS)

    def _registration(self, services: Services) -> WorkerRegistration:
        return WorkerRegistration(
            registry=services.registry,
            lock=services.lock,
            pool=services.pool,
            leases=services.leases,
            replica_id=services.worker_id,
            drain=self.drain,
        )

    def _status_server(self) -> StatusServer | None:
        if self._settings.status_port is None:
            return None
        return StatusServer(
            self._settings.status_host,
            self._settings.status_port,
            alive=self._health.not_alive_reason,
            ready=self._health.not_ready_reason,
        )

    async def _consume(self, services: Services) -> None:
        """Run ARQ, and start it again after each error, until drained.

        The loop checks `_draining` because an error while ARQ closes can replace the CancelledError.
        """
        throttle = LogThrottle(LOG_SECONDS)

        async def on_connected(ctx: dict[Any, Any]) -> None:  # noqa: ARG001 - ARQ passes it by name
            if throttle.reset():
                log.info("service.available", after="redis.unavailable")

        while not self._draining.is_set():
            try:
                await _consume_once(services, on_connected)
            except Exception as error:  # noqa: BLE001 - without this loop the worker would claim no job and look alive
                if throttle.allows():
                    event = "redis.unavailable" if isinstance(error, REDIS_ERRORS) else "queue.consumer_failed"
                    log.warning(event, reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(RESTART_SECONDS)


async def _run_forever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run a background task, and start it again after an unexpected error."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background_task.failed", task=name)
        await asyncio.sleep(RESTART_SECONDS)


def exempt_from_collection() -> None:
    """Exempt modules and services from garbage collection: they live as long as the process.

    Each full collection would visit all of them, which takes 0.1 s and stops every job meanwhile.
    """
    gc.collect()
    gc.freeze()


def _log_sandbox(services: Services) -> None:
    available = [one.name for one in services.guarantees if one.available]
    missing = [f"{one.name} ({one.feature}: {one.detail})" for one in services.guarantees if not one.available]
    (log.warning if missing else log.info)("sandbox.checked", available=available, missing=missing)


def _update_gauges(services: Services) -> None:
    SLOTS.labels("busy").set(services.pool.busy)
    SLOTS.labels("free").set(services.pool.free)
    used, idle = services.database.pool_usage()
    DATABASE_CONNECTIONS.labels("used").set(used)
    DATABASE_CONNECTIONS.labels("idle").set(idle)
    DATABASE_CONNECTIONS.labels("limit").set(services.settings.db_pool_size + services.settings.db_max_overflow)
    SCRATCH_FREE.set(services.backpressure.free_bytes())


async def _consume_once(services: Services, on_connected: "StartupShutdown") -> None:
    """Run ARQ until it ends. Its tasks only make the worker claim, which goes on without them."""
    worker = arq_worker(services)
    worker.on_startup = on_connected
    try:
        await worker.async_run()
    finally:
        waiting = list(worker.tasks.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        worker.tasks.clear()  # all have ended; close() raises for cancelled ones
        if worker.main_task is not None:
            worker.main_task.cancel()
        with suppress(*REDIS_ERRORS):
            await worker.close()
