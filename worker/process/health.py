"""Health of a worker: whether its process is alive, and whether it can claim a job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.process.job_pool import JobPool

LOOP_STALL_SECONDS = 30.0
"""The event loop counts as stuck after so long without a heartbeat. By then leases have expired."""


@dataclass(slots=True)
class Health:
    """Written by the event loop, read by the status server's threads."""

    pool: JobPool | None = None
    """None until the worker has opened its services."""
    waiting_for: str = "the worker is starting"
    _heartbeat_at: float = field(default_factory=time.monotonic)

    def wait_for(self, reason: str) -> None:
        """Note what the worker waits for before it starts."""
        self.waiting_for = reason

    def record_heartbeat(self) -> None:
        """Note that the event loop runs."""
        self._heartbeat_at = time.monotonic()

    def not_alive_reason(self) -> str | None:
        """Return why a supervisor should restart the process, or None."""
        elapsed = time.monotonic() - self._heartbeat_at
        return f"the event loop has not run for {elapsed:.0f} s" if elapsed > LOOP_STALL_SECONDS else None

    def not_ready_reason(self) -> str | None:
        """Return why the worker claims no job now, or None."""
        reasons: tuple[Callable[[], str | None], ...] = (
            self.not_alive_reason,
            lambda: self.waiting_for if self.pool is None else None,
            lambda: None if self.pool is None else self.pool.pause_reason(),
        )
        return next((reason for probe in reasons if (reason := probe()) is not None), None)
