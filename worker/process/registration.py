"""Registration of a worker for operators to see, and its reception of control commands."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

import structlog

from domain.errors import TransientError
from domain.workers import READY, WorkerInfo
from infrastructure.redis.worker_registry import DRAIN, WorkerRegistry
from worker.jobs.lease_keeper import LeaseKeeper
from worker.process.job_pool import JobPool

INTERVAL_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRegistration:
    """Keeps a worker's registry entry and obeys commands. While Redis is unavailable, both are suspended."""

    registry: WorkerRegistry
    pool: JobPool
    leases: LeaseKeeper
    replica_id: str
    drain: Callable[[], None]
    started_at: float = field(default_factory=time.time)

    async def run(self) -> None:
        """Register and receive commands until cancelled; then remove the entry."""
        try:
            await asyncio.gather(self._register(), self._receive_commands())
        finally:
            try:
                await self.registry.remove(self.replica_id)
            except TransientError:
                log.debug("registration.removal_failed")

    async def _register(self) -> None:
        while True:
            try:
                await self.registry.register(self._info())
            except TransientError:
                log.debug("registration.failed")
            await asyncio.sleep(INTERVAL_SECONDS)

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
            except (TransientError, json.JSONDecodeError, AttributeError):
                log.debug("command.subscription_lost")
            await asyncio.sleep(INTERVAL_SECONDS)
