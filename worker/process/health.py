"""Whether this replica lives, and whether it can really claim a job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worker.process.job_pool import JobPool

LOOP_STALL_SECONDS = 30.0
"""The loop is taken for stuck when it has not beaten for so long: no lease could be renewed by then."""


@dataclass(slots=True)
class Health:
    """Written by the event loop, read by the status server's threads."""

    pool: JobPool | None = None
    """None until everything is there that a worker needs."""
    waiting_for: str = "the worker is starting"
    listening: bool = False
    _beaten: float = field(default_factory=time.monotonic)

    async def on_consumer_start(self, ctx: dict[Any, Any]) -> None:  # noqa: ARG002 - ARQ calls it so
        """ARQ's start-up hook: it has reached Redis."""
        self.listening = True

    def wait_for(self, reason: str) -> None:
        """Say why the worker has not begun."""
        self.waiting_for = reason

    def beat(self) -> None:
        """The loop is alive."""
        self._beaten = time.monotonic()

    def not_alive_reason(self) -> str | None:
        """None, or why a supervisor should restart the process."""
        silent = time.monotonic() - self._beaten
        return f"the event loop has not run for {silent:.0f} s" if silent > LOOP_STALL_SECONDS else None

    def not_ready_reason(self) -> str | None:
        """None, or why no job would be taken on now."""
        reasons: tuple[Callable[[], str | None], ...] = (
            self.not_alive_reason,
            lambda: self.waiting_for if self.pool is None else None,
            lambda: None if self.pool is None else self.pool.pause_reason(),  # first: who drains does not listen either
            lambda: None if self.listening else "Redis is away",
        )
        return next((reason for probe in reasons if (reason := probe()) is not None), None)
