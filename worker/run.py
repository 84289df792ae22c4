"""The worker's process: ARQ in a restart loop, the leases, the maintenance, and a shutdown that loses nothing."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress

import structlog
from redis.exceptions import RedisError

from domain.errors import ServiceUnavailableError
from infrastructure.settings import Settings
from worker.settings import Services, arq_worker, open_services

RESTART_SECONDS = 1.0
COMPLAIN_SECONDS = 60.0

log = structlog.get_logger(__name__)


class WorkerProcess:
    """Runs until it is told to drain; a second signal cuts the draining short."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._draining = asyncio.Event()
        self._hurry = asyncio.Event()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT drain: once politely, twice at once. Jobs are handed back, no attempt is spent."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self.drain)

    def drain(self) -> None:
        """Pick up nothing more; let running jobs finish within the grace period. Again: hand them back now."""
        if self._draining.is_set():
            self._hurry.set()
        self._draining.set()

    async def run(self) -> None:
        """Work until drained. Raises ServiceUnavailableError only when the services were away from the start."""
        async with open_services(self._settings) as services:
            log.info("worker.started", slots=self._settings.arq_max_jobs, cores=services.analyst.pipeline.cores.count)
            background = [
                asyncio.create_task(services.leases.run()),
                asyncio.create_task(services.maintenance.run()),
            ]
            try:
                await self._ring_loop(services)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
        log.info("worker.stopped")

    async def _ring_loop(self, services: Services) -> None:
        """ARQ ends on any Redis fault; start it again until we are told to drain."""
        complained = 0.0
        while not self._draining.is_set():
            try:
                await self._listen_once(services)
            except (RedisError, OSError, TimeoutError, ServiceUnavailableError) as error:
                now = asyncio.get_running_loop().time()
                if now - complained > COMPLAIN_SECONDS or not complained:
                    complained = now
                    log.warning("redis.away", reason=f"{type(error).__name__}: {error}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._draining.wait(), RESTART_SECONDS)

    async def _listen_once(self, services: Services) -> None:
        worker = arq_worker(services)
        listening = asyncio.create_task(worker.async_run())
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({listening, draining}, return_when=asyncio.FIRST_COMPLETED)
            worker.allow_pick_jobs = False
            if draining.done():
                await self._let_finish(worker.tasks)
        finally:
            draining.cancel()
            # Cancelled jobs hand themselves back before they end; ARQ's own close() awaits them.
            for task in worker.tasks.values():
                task.cancel()
            await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
            if not listening.done():
                listening.cancel()
            ended = await asyncio.gather(listening, return_exceptions=True)
            worker.tasks.clear()  # all have ended; close() would trip over those that were cancelled
            with suppress(RedisError, OSError):
                await worker.close()
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _let_finish(self, tasks: Mapping[str, "asyncio.Task[None]"]) -> None:
        log.info("worker.draining", jobs=len(tasks))
        hurry = asyncio.create_task(self._hurry.wait())
        running = asyncio.create_task(_all_ended(tasks))
        try:
            await asyncio.wait(
                {hurry, running},
                timeout=self._settings.shutdown_grace,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            hurry.cancel()
            running.cancel()


async def _all_ended(tasks: Mapping[str, "asyncio.Task[None]"]) -> None:
    if tasks:
        await asyncio.wait(tasks.values())
