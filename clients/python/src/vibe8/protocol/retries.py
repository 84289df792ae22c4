"""When a request is sent again: which failures pass, and how long to wait for that."""

import random
from dataclasses import dataclass, field

from vibe8.errors import ConnectionFailedError, ProblemError, ServiceUnavailableError, Vibe8Error

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 10.0
JITTER = 0.25
"""The share by which a wait is lengthened at random, so that many callers do not come back at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a request that may be repeated is sent again after a failure that may pass.

    `attempts` includes the first one; 1 switches retries off. `max_wait_seconds` is for all waits of one call: a
    `Retry-After` beyond what is left of it is not waited for.
    """

    attempts: int = 5
    max_wait_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for values that mean nothing."""
        if self.attempts < 1 or self.max_wait_seconds < 0:
            raise ValueError("retry: attempts must be at least 1, max_wait_seconds at least 0")


@dataclass(slots=True)
class Attempts:
    """The attempts of one call."""

    retry: Retry
    repeatable: bool
    _made: int = 0
    _waited: float = field(default=0.0)

    def delay_after(self, error: Vibe8Error) -> float | None:
        """Return the seconds to wait before the next attempt; None where there is none."""
        self._made += 1
        if not self.repeatable or self._made >= self.retry.attempts:
            return None
        delay = self._delay(error)
        if delay is None or self._waited + delay > self.retry.max_wait_seconds:
            return None
        self._waited += delay
        return delay

    def _delay(self, error: Vibe8Error) -> float | None:
        backoff = min(FIRST_DELAY_SECONDS * 2 ** (self._made - 1), MAX_DELAY_SECONDS)
        if isinstance(error, ServiceUnavailableError):
            wait = backoff if error.retry_after is None else error.retry_after
        elif isinstance(error, ConnectionFailedError):
            wait = backoff
        elif isinstance(error, ProblemError) and error.status == 429 and error.retry_after is not None:
            wait = error.retry_after  # a limit without a time is not renewed by time
        else:
            return None
        return wait * (1 + random.uniform(0, JITTER))  # noqa: S311  # nosec B311 # no secret
