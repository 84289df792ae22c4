"""uvicorn's HTTP/1.1 protocol with time limits for the head of a request and for the reading of an answer."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.http.options import MB

HEAD_SECONDS = 20.0
"""How long a new connection may take for the head of its first request. uvicorn itself waits for ever."""

UNREAD_SECONDS = 30.0
"""How long a caller may leave an answer unread, and the time for each MB of it. uvicorn itself keeps it for ever."""

CHECK_SECONDS = 5.0
"""How often each connection is asked for what is unread."""


class BoundedH11Protocol(H11Protocol):
    """Closes a connection that has not sent the head of a request in time, or does not read its answer in time."""

    _waiting: asyncio.TimerHandle | None = None
    _checking: asyncio.TimerHandle | None = None
    _unread_since: float | None = None
    _unread_most = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._close_if_silent)
        self._checking = self.loop.call_later(CHECK_SECONDS, self._abort_if_unread)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        for timer in (self._waiting, self._checking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the data on. A later request on the connection has as long for its head as the first one."""
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._close_if_silent)
        elif not idle and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close_if_silent(self) -> None:
        self._waiting = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()

    def _abort_if_unread(self) -> None:
        """Abort a connection that has had something unread for too long; closing it would wait for its reader."""
        unread, now = self.transport.get_write_buffer_size(), time.monotonic()
        self._unread_since = (self._unread_since or now) if unread else None
        self._unread_most = max(unread, self._unread_most) if unread else 0
        if self._unread_since is not None and now - self._unread_since > UNREAD_SECONDS * (1 + self._unread_most / MB):
            self.transport.abort()
        else:
            self._checking = self.loop.call_later(CHECK_SECONDS, self._abort_if_unread)
