"""Limit on log lines that repeat while a problem lasts."""

import math
import time


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
