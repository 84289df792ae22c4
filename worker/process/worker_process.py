"""The worker's process: ARQ in a restart loop, the leases, the maintenance, and a shutdown that loses nothing."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version

import structlog
from redis.exceptions import RedisError

from domain.errors import ServiceUnavailableError
from infrastructure.observability.prometheus_metrics import POOL, READY, SCRATCH_FREE, SLOTS
from infrastructure.observability.status_server import StatusServer
from infrastructure.observability.tracing import Tracer, open_tracer
from infrastructure.settings import Settings
from worker.process.bootstrap import Services, arq_worker, open_services
from worker.process.health import Health
from worker.process.registration import WorkerRegistration
from worker.process.startup import wait_for_services

RESTART_SECONDS = 1.0
BEAT_SECONDS = 1.0
COMPLAIN_SECONDS = 60.0
REDIS_ERRORS = (RedisError, OSError, TimeoutError, ServiceUnavailableError)

log = structlog.get_logger(__name__)


class WorkerProcess:
    """Runs until it is told to drain; a second signal cuts the draining short."""

    def __init__(self, settings: Settings, tracer: Tracer | None = None) -> None:
        """`tracer` is closed with it; the environment's own if not given."""
        self._settings = settings
        self._tracer = tracer or open_tracer()
        self._draining = asyncio.Event()
        self._force = asyncio.Event()
        self._jobs = 0
        self._health = Health()
        self._services: Services | None = None
        self.recycling = False
        """Whether it has ended because it has done as many jobs as one process should."""

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT drain: once politely, twice at once. Jobs are handed back, no attempt is spent."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self.drain)

    def drain(self) -> None:
        """Pick up nothing more; let running jobs finish within the grace period. Again: hand them back now."""
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
        """Wait until everything is there that a worker needs, then work until drained.

        Raises ServiceUnavailableError where STARTUP_WAIT was too short for the services, and InvalidInputError where
        the settings ask for a sandbox that there is not.
        """
        status = self._status_server()
        port = None if status is None else status.port
        log.info("worker.starting", version=version("vibe8-worker"), status_port=port)
        beating = asyncio.create_task(_keep_up("beat", self._beat))
        try:
            if await wait_for_services(self._settings, self._draining, self._health.wait_for):
                async with open_services(self._settings, on_job=self._count_job, tracer=self._tracer) as services:
                    slots, cores = self._settings.arq_max_jobs, services.cores.count
                    log.info("worker.started", slots=slots, cores=cores, status_port=port)
                    _tell_sandbox(services)
                    await self._work(services)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if status is not None:
                await asyncio.to_thread(status.close)
            await asyncio.to_thread(self._tracer.close)
        log.info("worker.stopped", jobs=self._jobs)

    async def _work(self, services: Services) -> None:
        self._services, self._health.pool = services, services.pool
        background = [
            asyncio.create_task(_keep_up("leases", services.leases.run)),
            asyncio.create_task(_keep_up("maintenance", services.maintenance.run)),
            asyncio.create_task(_keep_up("notices", services.webhooks.run)),
            asyncio.create_task(_keep_up("presence", self._presence(services).run)),
        ]
        listening = asyncio.create_task(self._listen(services))
        try:
            await self._draining.wait()
            log.info("worker.draining")
            # Jobs that go back must find no slot here: other replicas are to take them.
            services.pool.draining = True
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await services.pool.drain(self._settings.shutdown_grace, self._force)
        finally:
            self._services = None
            for task in (listening, *background):
                task.cancel()
            await asyncio.gather(listening, *background, return_exceptions=True)

    async def _beat(self) -> None:
        """Show that the loop runs, and keep the gauges."""
        while True:
            self._health.beat()
            READY.set(self._health.not_ready_reason() is None)
            if self._services is not None:
                _keep_gauges(self._services)
            await asyncio.sleep(BEAT_SECONDS)

    def _presence(self, services: Services) -> WorkerRegistration:
        return WorkerRegistration(
            registry=services.registry,
            pool=services.pool,
            leases=services.leases,
            slots=self._settings.arq_max_jobs,
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

    async def _listen(self, services: Services) -> None:
        """ARQ ends on any Redis fault; start it again, until drained: a fault while it closes hides our cancelling."""
        complained = -COMPLAIN_SECONDS
        while not self._draining.is_set():
            try:
                await _listen_once(services, self._health)
            except Exception as error:  # noqa: BLE001 - a worker that is deaf and looks alive is worse than any of them
                if time.monotonic() - complained >= COMPLAIN_SECONDS:
                    complained = time.monotonic()
                    event = "redis.unavailable" if isinstance(error, REDIS_ERRORS) else "queue.consumer_failed"
                    log.warning(event, reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(RESTART_SECONDS)


async def _keep_up(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Begin the work anew when a fault that nobody thought of ends it: without it the worker would be half dead."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background_task.failed", what=what)
        await asyncio.sleep(RESTART_SECONDS)


def _tell_sandbox(services: Services) -> None:
    held = [one.name for one in services.guarantees if one.available]
    missing = [f"{one.name} ({one.feature}: {one.detail})" for one in services.guarantees if not one.available]
    (log.warning if missing else log.info)("sandbox.guarantees", held=held, missing=missing)


def _keep_gauges(services: Services) -> None:
    SLOTS.labels("busy").set(services.pool.busy)
    SLOTS.labels("free").set(services.pool.free)
    used, idle = services.database.connections()
    POOL.labels("used").set(used)
    POOL.labels("idle").set(idle)
    POOL.labels("limit").set(services.settings.db_pool_size + services.settings.db_max_overflow)
    SCRATCH_FREE.set(services.backpressure.free_bytes())


async def _listen_once(services: Services, readiness: Health) -> None:
    """One life of ARQ's worker. Its tasks only wait for the pool's, which go on without them."""
    worker = arq_worker(services, on_startup=readiness.on_consumer_start)
    try:
        await worker.async_run()
    finally:
        readiness.listening = False
        waiting = list(worker.tasks.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        worker.tasks.clear()  # all have ended; close() would trip over those that were cancelled
        if worker.main_task is not None:
            worker.main_task.cancel()
        with suppress(*REDIS_ERRORS):
            await worker.close()
