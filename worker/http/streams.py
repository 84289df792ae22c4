"""The event streams that are open at this process: how many there may be, and their end with the process."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from infrastructure.observability.http_metrics import EVENT_STREAMS
from worker.http.problems import STREAMS_FULL, TOO_MANY_STREAMS, ProblemError

RETRY_SECONDS = 10


@dataclass(slots=True)
class EventStreams:
    """Counts open streams, of all callers and of each user. Another replica counts its own."""

    max_streams: int
    max_per_user: int
    closing: asyncio.Event
    """Set when the process is about to end: every stream ends, and its reader connects to another replica."""
    _open: Counter[UUID] = field(default_factory=Counter)

    def require_place(self, user_id: UUID) -> None:
        """Raise ProblemError where there is no place for a stream of the user."""
        retry = {"Retry-After": str(RETRY_SECONDS)}
        if self._open[user_id] >= self.max_per_user:
            detail = f"{self._open[user_id]} event streams of yours are open (limit {self.max_per_user})"
            raise ProblemError(TOO_MANY_STREAMS, detail, retry)
        if self._open.total() >= self.max_streams:
            raise ProblemError(STREAMS_FULL, f"this process has {self.max_streams} open event streams", retry)

    @contextmanager
    def place(self, user_id: UUID) -> Iterator[None]:
        """Hold a place for one stream. Raises ProblemError where there is none."""
        self.require_place(user_id)
        self._open[user_id] += 1
        EVENT_STREAMS.inc()
        try:
            yield
        finally:
            EVENT_STREAMS.dec()
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]  # or users of long ago would be counted for ever
