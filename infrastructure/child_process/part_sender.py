"""Sends the parts of a long list in a thread, so that the child makes the next part while the worker reads one."""

import socket
import sys
from queue import Queue
from threading import Thread
from typing import Any, Self

from infrastructure.child_process.wire_protocol import MessageKind, message_parts

QUEUED_PARTS = 8
"""Encoded parts that wait to be sent; the child waits before it makes more of them."""

_SWITCH_SECONDS = 0.0005
"""How long the thread waits for the interpreter at most. The default, 5 ms, is longer than it takes to send a part."""


class PartSender:
    """Sends parts over a blocking socket, in order. Leaving the block waits until all of them are sent."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._queue: Queue[list[bytes] | None] = Queue(QUEUED_PARTS)
        self._thread: Thread | None = None
        self._error: OSError | None = None

    def send(self, items: Any) -> None:
        """Encode a part, and send it as soon as those before have been sent."""
        if self._thread is None:
            sys.setswitchinterval(_SWITCH_SECONDS)
            self._thread = Thread(target=self._send_queued, daemon=True)
            self._thread.start()
        self._queue.put(message_parts(MessageKind.ITEMS, items))

    def flush(self) -> None:
        """Wait until all parts are sent. Raises OSError if the worker closed its end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _send_queued(self) -> None:
        while (parts := self._queue.get()) is not None:
            try:
                for part in parts if self._error is None else ():
                    self._channel.sendall(part)
            except OSError as error:
                self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
