"""Length-prefixed JSON messages between a worker and its children, over a stream socket.

JSON, never pickles: the child has touched hostile input, and what it says must stay data.
"""

import json
import socket
import struct
from enum import IntEnum
from typing import Any

HEADER = struct.Struct(">IB")
MAX_BODY = 512 * 1024 * 1024
"""Bytes; a child that announces more is broken or hostile."""


class Kind(IntEnum):
    """What a message is."""

    REQUEST = 1
    ALIVE = 2
    PROGRESS = 3
    ANSWER = 4
    ERROR = 5
    EXIT = 6
    READY = 7


def encode(kind: Kind, body: Any = None) -> bytes:
    """One message, ready to send."""
    data = b"" if body is None else json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    return HEADER.pack(len(data), kind) + data


def receive(channel: socket.socket) -> tuple[Kind, Any]:
    """The next message, blocking. Raises EOFError when the other side has gone."""
    length, kind = HEADER.unpack(_exactly(channel, HEADER.size))
    if length > MAX_BODY:
        raise EOFError("oversized message")
    body = _exactly(channel, length)
    return Kind(kind), json.loads(body) if body else None


def _exactly(channel: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = channel.recv(min(count - len(chunks), 1 << 20))
        if not chunk:
            raise EOFError("the other side has gone")
        chunks += chunk
    return bytes(chunks)
