"""Health of the HTTP service: whether its event loop runs, and whether it reaches PostgreSQL."""

import asyncio
import time
from dataclasses import dataclass, field

from domain.errors import ServiceUnavailableError
from infrastructure.observability.prometheus_metrics import READY
from worker.client.operator import OperatorClient

CHECK_SECONDS = 2.0
LOOP_STALL_SECONDS = 30.0
"""The event loop counts as stuck after so long without a heartbeat."""


@dataclass(slots=True)
class HttpHealth:
    """Written by the event loop, read by the status server's threads."""

    not_ready: str | None = "the service is starting"
    _draining: bool = False
    _heartbeat_at: float = field(default_factory=time.monotonic)

    def not_alive_reason(self) -> str | None:
        """Return why the process should be restarted; None if it need not be."""
        silent = time.monotonic() - self._heartbeat_at
        return f"the event loop has not run for {silent:.0f} s" if silent > LOOP_STALL_SECONDS else None

    def not_ready_reason(self) -> str | None:
        """Return why requests should go to other replicas; None if this one can answer."""
        return "the service is shutting down" if self._draining else self.not_ready

    def drain(self) -> None:
        """Note that the process ends soon."""
        self._draining = True

    async def watch(self, operator: OperatorClient) -> None:
        """Look every CHECK_SECONDS whether PostgreSQL and its schema are there, until cancelled."""
        while True:
            self._heartbeat_at = time.monotonic()
            try:
                async with asyncio.timeout(LOOP_STALL_SECONDS / 3):
                    await operator.is_paused()
                self.not_ready = None
            except (ServiceUnavailableError, TimeoutError) as error:
                self.not_ready = str(error) or "PostgreSQL does not answer"
            READY.set(self.not_ready_reason() is None)
            await asyncio.sleep(CHECK_SECONDS)
