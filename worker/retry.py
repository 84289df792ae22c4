"""Retries while PostgreSQL or Redis is unavailable."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.errors import ServiceUnavailableError

RETRY_SECONDS = 1.0

T = TypeVar("T")


class OutageTimer:
    """Waits between the attempts of a call, and gives up when an outage lasts longer than `limit_seconds`."""

    def __init__(
        self, limit_seconds: float, *, delay_seconds: float = RETRY_SECONDS, started_at: float | None = None
    ) -> None:
        """Measure the outage from `started_at` by the monotonic clock, by default from its first error."""
        self._limit_seconds = limit_seconds
        self._delay_seconds = delay_seconds
        self._started_at = started_at

    def reset(self) -> None:
        """Note that the service has answered; the next error begins another outage."""
        self._started_at = None

    def check(self, error: ServiceUnavailableError) -> None:
        """Raise `error` if the outage has lasted longer than the limit."""
        now = time.monotonic()
        self._started_at = now if self._started_at is None else self._started_at
        if now - self._started_at > self._limit_seconds:
            raise error

    async def wait(self, error: ServiceUnavailableError) -> None:
        """Sleep until the next attempt is due. Raises `error` if the outage has lasted longer than the limit."""
        self.check(error)
        await asyncio.sleep(self._delay_seconds)


async def retry_while_unavailable(call: Callable[[], Awaitable[T]], outage: OutageTimer) -> T:
    """Repeat the call until it succeeds. Raises the last ServiceUnavailableError when the outage lasts too long."""
    while True:
        try:
            return await call()
        except ServiceUnavailableError as error:
            await outage.wait(error)
