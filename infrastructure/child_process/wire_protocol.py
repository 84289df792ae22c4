"""Length-prefixed messages between the worker and its child processes, over a stream socket.

A message is a frame (`domain.framing`). Its payload is JSON, never a pickle: a child has processed hostile input and
may have been taken over. Bytes travel in a frame of their own, of kind ATTACHMENT, directly before the message to which
they belong.
"""

import socket
from enum import IntEnum
from typing import Any

from domain.framing import HEADER, encode_frame
from infrastructure.json_codec import dumps, loads

ATTACHMENT = "attachment"
"""The key of a request or result that holds bytes instead of JSON."""

MAX_PAYLOAD_BYTES = 256 * 1024 * 1024
"""A child that announces a longer payload is broken or hostile. PostgreSQL stores no larger document."""

MAX_RESULT_VALUES = 8_000_000
"""JSON values of a result: a file has about 50, the 50,000 findings have 25 each."""

MAX_ATTACHMENT_BYTES = 128 * 1024 * 1024

MAX_PROGRESS_BYTES = 64 * 1024
"""Limit of every message but a result. The longest progress message lists 200 package names of 200 characters."""


class MessageKind(IntEnum):
    """The kind in a frame's header."""

    REQUEST = 1
    PROGRESS = 2
    RESULT = 3
    ERROR = 4
    READY = 5
    ATTACHMENT = 6


def encode_message(kind: MessageKind, content: Any = None) -> bytes:
    """Return the message as it is sent. Bytes under the key `attachment` precede it as they are."""
    prefix = b""
    if isinstance(content, dict) and ATTACHMENT in content:
        attachment: bytes = content[ATTACHMENT]
        prefix = encode_frame(attachment, MessageKind.ATTACHMENT)
        content = {key: value for key, value in content.items() if key != ATTACHMENT}
    payload = b"" if content is None else dumps(content)
    return prefix + encode_frame(payload, kind)


def receive_message(channel: socket.socket) -> tuple[MessageKind, Any]:
    """Wait for the next message and return it with its attachment. Raises EOFError if the peer closed its end."""
    kind, payload = _receive_payload(channel)
    if kind is not MessageKind.ATTACHMENT:
        return kind, loads(payload) if payload else None
    kind, content = receive_message(channel)
    return kind, {**content, ATTACHMENT: payload}


def _receive_payload(channel: socket.socket) -> tuple[MessageKind, bytes]:
    length, kind = HEADER.unpack(_receive_exactly(channel, HEADER.size))
    if length > MAX_PAYLOAD_BYTES:
        raise EOFError(f"a message of {length} bytes exceeds the limit of {MAX_PAYLOAD_BYTES}")
    return MessageKind(kind), _receive_exactly(channel, length)


def _receive_exactly(channel: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = channel.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise EOFError("the peer closed its end")
        received += chunk
    return bytes(received)
