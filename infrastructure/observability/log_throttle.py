"""Limit on log lines that repeat while a problem lasts."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from domain.errors import TransientError

log = structlog.get_logger(__name__)


class LogThrottle:
    """Allows the first log line about a problem, and another after each `interval_seconds`.

    By default only the first is allowed, until `reset` says that the problem is over.
    """

    def __init__(self, interval_seconds: float = math.inf) -> None:
        self._interval_seconds = interval_seconds
        self._event: str | None = None
        self._allowed_at = 0.0

    def allows(self, event: str = "") -> bool:
        """Return whether to log this event now. Always true for another event than the last."""
        now = time.monotonic()
        if event == self._event and now - self._allowed_at < self._interval_seconds:
            return False
        self._event, self._allowed_at = event, now
        return True

    def reset(self) -> bool:
        """Allow the next log line: the problem is over. Return whether there was one."""
        was_problem, self._event = self._event is not None, None
        return was_problem


class OutageLog:
    """Logs an outage once, as `event` with its reason, and its end as `service.available`."""

    def __init__(self, event: str) -> None:
        self._event, self._throttle = event, LogThrottle()

    @contextmanager
    def suppressed(self) -> Iterator[None]:
        """Log a TransientError of the block in place of raising it. A block without one ends the outage."""
        try:
            yield
        except TransientError as error:
            self.log_begin(error)
        else:
            self.log_end()

    def log_begin(self, error: Exception, **fields: object) -> None:
        """Log the error with these fields, if the outage begins with it."""
        if self._throttle.allows():
            log.warning(self._event, **fields, reason=str(error) or "timed out")

    def log_end(self) -> None:
        """Log that the service is available again, if there was an outage."""
        if self._throttle.reset():
            log.info("service.available", after=self._event)
