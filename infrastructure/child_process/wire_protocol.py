"""Length-prefixed messages between the worker and its child processes, over a stream socket.

A message is a frame (`domain.framing`). Its payload is JSON, never a pickle: a child has processed hostile input and
may have been taken over. Bytes travel in a frame of their own, of kind ATTACHMENT: those of a request after it, so that
the child can begin without them, and those of a result directly before it. A child may send the items of one long list
before its result, in parts of kind ITEMS, so that the worker decodes a part while the child makes the next one.
"""

import socket
from enum import IntEnum
from typing import Any

from domain.framing import HEADER
from infrastructure.json_codec import dumps, loads

ATTACHMENT = "attachment"
"""The key of a result that holds bytes instead of JSON; in a request, of a function that returns them."""

ITEMS = "items"
"""The key under which a child reports a part of a long list, and under which the worker finds all of it in the result.
"""

SENDS_ITEMS = "sends_items"
"""The key of a request that says whether the list that belongs to the result is sent in such parts."""

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
    ITEMS = 7


def encode_message(kind: MessageKind, content: Any = None) -> bytes:
    """Return the message as it is sent, bytes under the key `attachment` before it."""
    return b"".join(message_parts(kind, content))


def message_parts(kind: MessageKind, content: Any = None) -> list[bytes]:
    """Return what `encode_message` joins: a large message is sent part by part, without a copy of it."""
    parts: list[bytes] = []
    if isinstance(content, dict) and ATTACHMENT in content:
        parts += attachment_parts(content[ATTACHMENT])
        content = {key: value for key, value in content.items() if key != ATTACHMENT}
    payload = b"" if content is None else dumps(content)
    return [*parts, HEADER.pack(len(payload), kind), payload]


def attachment_parts(attachment: bytes) -> list[bytes]:
    """Return the frame of an attachment, in parts."""
    return [HEADER.pack(len(attachment), MessageKind.ATTACHMENT), attachment]


def send_message(channel: socket.socket, kind: MessageKind, content: Any = None) -> None:
    """Send the message over a blocking socket."""
    for part in message_parts(kind, content):
        channel.sendall(part)


def receive_message(channel: socket.socket) -> tuple[MessageKind, Any]:
    """Wait for the next message. Raises EOFError if the peer closed its end."""
    kind, payload = receive_payload(channel)
    return kind, loads(payload) if payload else None


def receive_payload(channel: socket.socket) -> tuple[MessageKind, bytes]:
    """Wait for the next frame. Raises EOFError if the peer closed its end."""
    length, kind = HEADER.unpack(_receive_exactly(channel, HEADER.size))
    if length > MAX_PAYLOAD_BYTES:
        raise EOFError(f"a message of {length} bytes exceeds the limit of {MAX_PAYLOAD_BYTES}")
    return MessageKind(kind), _receive_exactly(channel, length)


def _receive_exactly(channel: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = channel.recv(count - len(received), socket.MSG_WAITALL)  # nearly always all of it
        if not chunk:
            raise EOFError("the peer closed its end")
        received = received + chunk if received else chunk
    return received
