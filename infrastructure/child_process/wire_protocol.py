"""Length-prefixed JSON messages between a worker and its children, over a stream socket.

JSON, never pickles: the child has touched hostile input, and what it says must stay data.
"""

import socket
import struct
from enum import IntEnum
from typing import Any

from infrastructure.json_codec import dumps, loads

HEADER = struct.Struct(">IB")
ATTACHMENT = "attachment"
"""The key of a message under which there may be bytes."""

MAX_PAYLOAD_BYTES = 512 * 1024 * 1024
"""Bytes; a child that announces more is broken or hostile."""

MAX_ATTACHMENT_BYTES = 128 * 1024 * 1024


class MessageKind(IntEnum):
    """What a message is."""

    REQUEST = 1
    PROGRESS = 2
    ANSWER = 3
    ERROR = 4
    READY = 5
    ATTACHMENT = 6


def encode_message(kind: MessageKind, body: Any = None) -> bytes:
    """One message, ready to send; the bytes under its key `attachment` go ahead of it, as they are."""
    ahead = b""
    if isinstance(body, dict) and ATTACHMENT in body:
        attachment: bytes = body[ATTACHMENT]
        ahead = HEADER.pack(len(attachment), MessageKind.ATTACHMENT) + attachment
        body = {key: value for key, value in body.items() if key != ATTACHMENT}
    data = b"" if body is None else dumps(body)
    return ahead + HEADER.pack(len(data), kind) + data


def receive_message(channel: socket.socket) -> tuple[MessageKind, Any]:
    """The next message, blocking, with its attachment. Raises EOFError when the other side has gone."""
    kind, body = _frame(channel)
    if kind is not MessageKind.ATTACHMENT:
        return kind, loads(body) if body else None
    kind, message = receive_message(channel)
    return kind, {**message, ATTACHMENT: body}


def _frame(channel: socket.socket) -> tuple[MessageKind, bytes]:
    length, kind = HEADER.unpack(_exactly(channel, HEADER.size))
    if length > MAX_PAYLOAD_BYTES:
        raise EOFError("oversized message")
    return MessageKind(kind), _exactly(channel, length)


def _exactly(channel: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = channel.recv(min(count - len(chunks), 1 << 20))
        if not chunk:
            raise EOFError("the other side has gone")
        chunks += chunk
    return bytes(chunks)
