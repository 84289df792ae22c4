"""Registration of a worker for operators to see, and its reception of control commands."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version

import structlog

from domain.errors import TransientError
from domain.workers import READY, WorkerInfo
from infrastructure.database.server.session_lock import SessionLock
from infrastructure.observability.log_throttle import OutageLog
from infrastructure.redis.worker_registry import DRAIN, Report, WorkerRegistry
from worker.jobs.dead_workers import REPORT_SECONDS
from worker.jobs.lease_keeper import LeaseKeeper
from worker.process.job_pool import JobPool

INTERVAL_SECONDS = 2.0
REPORT_TIMEOUT_SECONDS = 2.0
"""A report that Redis has not answered by then is sent again, on another connection."""

FIRST_REPORT_SECONDS = 2.0
"""Longest wait for the first report before the first claim. A worker without Redis claims all the same."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class WorkerRegistration:
    """Keeps a worker's registry entry, reports that it lives, and obeys commands; all that while Redis is available.

    It reports only while it holds its session lock: whoever never had one, or cannot get it back, is not judged by it.
    """

    registry: WorkerRegistry
    lock: SessionLock
    pool: JobPool
    leases: LeaseKeeper
    replica_id: str
    drain: Callable[[], None]
    started_at: float = field(default_factory=time.time)
    _reported: Report | None = None
    _first: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Register, report and receive commands until cancelled; then remove the entry and the report."""
        try:
            await asyncio.gather(self._register(), self._report_forever(), self._receive_commands())
        finally:
            try:
                await self.registry.remove(self.replica_id)
                await self._withdraw()
            except TransientError:
                log.debug("registration.removal_failed")

    async def first_report(self) -> None:
        """Wait until the worker can be noticed should it die, at most FIRST_REPORT_SECONDS: then its leases decide."""
        if self.lock.has_sessions:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._first.wait(), FIRST_REPORT_SECONDS)

    async def _register(self) -> None:
        outage = OutageLog("registration.failed")
        while True:
            with outage.suppressed():
                await self.registry.register(self._info())
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _report_forever(self) -> None:
        await self.lock.first_acquired()
        while True:
            try:
                async with asyncio.timeout(REPORT_TIMEOUT_SECONDS):
                    await self._report()
            except (TransientError, TimeoutError):
                log.debug("registration.report_failed")
            await asyncio.sleep(REPORT_SECONDS)

    async def _report(self) -> None:
        server = self.lock.server
        current = None if server is None else Report(self.replica_id, server)
        if self._reported != current:
            await self._withdraw()
        if current is not None:
            self._reported = current
            await self.registry.report(current)
            self._first.set()

    async def _withdraw(self) -> None:
        if self._reported is not None:
            await self.registry.withdraw(self._reported)
            self._reported = None

    def _info(self) -> WorkerInfo:
        return WorkerInfo(
            replica_id=self.replica_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("vibe8-worker"),
            started_at=self.started_at,
            seen_at=time.time(),
            slots=self.pool.slots,
            state=self.pool.pause_reason() or READY,
            jobs=tuple(self.leases.held_jobs()),
        )

    async def _receive_commands(self) -> None:
        while True:
            try:
                async for command in self.registry.commands(self.replica_id):
                    log.info("command.received", command=command)
                    if command == DRAIN:
                        self.drain()
            except TransientError:
                log.debug("command.subscription_lost")
            await asyncio.sleep(INTERVAL_SECONDS)
