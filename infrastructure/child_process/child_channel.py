"""The worker's side of the channel to a child: send the request, pass on progress, and return the result.

The child may have been taken over, so every message is checked: one that is malformed or too long fails this child's
job and nothing else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from domain.errors import (
    AnalysisKilledError,
    InvalidInputError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
    Vibe8Error,
)
from domain.framing import HEADER
from domain.ports import ProgressListener
from domain.text import JSON, one_line
from infrastructure.child_process.supervisor_client import SupervisorClient
from infrastructure.child_process.supervisor_protocol import ExitReport
from infrastructure.child_process.wire_protocol import (
    ATTACHMENT,
    ITEMS,
    MAX_ATTACHMENT_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_PROGRESS_BYTES,
    MAX_RESULT_VALUES,
    MessageKind,
    attachment_parts,
    message_parts,
)
from infrastructure.json_codec import loads_counted

SUPERVISOR_HEARTBEAT_SECONDS = 5.0
"""Interval between two heartbeats to the supervisor."""

_PARSED_IN_THREAD_BYTES = 1 << 16
"""A longer payload is parsed in a thread, so that the event loop can renew leases meanwhile."""

_MAX_BYTES = {
    MessageKind.ATTACHMENT: MAX_ATTACHMENT_BYTES,
    MessageKind.RESULT: MAX_PAYLOAD_BYTES,
    MessageKind.ITEMS: MAX_PAYLOAD_BYTES,
}

_RESULT_KINDS = (MessageKind.RESULT, MessageKind.ITEMS)
"""Kinds of messages that are kept: those of one child together have no more bytes and values than one of them may."""

_ALLOWED_ERRORS = (InvalidInputError, PermanentError, ServiceUnavailableError, TransientError)
"""What a child may raise. It cannot claim that the lease is lost or that the user cancelled the job."""


async def exchange(
    supervisor: SupervisorClient,
    channel: socket.socket,
    request: Mapping[str, JSON],
    attachment: Callable[[], Awaitable[bytes]] | None,
    on_progress: ProgressListener | None,
) -> tuple[Mapping[str, JSON] | None, ExitReport]:
    """Send the request and return the child's result, None if it sent none, and how the child ended.

    The child begins while `attachment` is awaited. Sends heartbeats to the supervisor meanwhile. Raises what the child
    raised, and AnalysisKilledError if a message is malformed or the supervisor ended.
    """
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    heartbeats = asyncio.create_task(_send_heartbeats(supervisor, writer))
    try:
        with contextlib.suppress(ConnectionError):  # the child has died already; the exit report says why
            writer.writelines(message_parts(MessageKind.REQUEST, request))
            if attachment is not None:
                attached = attachment_parts(await attachment())
                if not writer.is_closing():
                    writer.writelines(attached)
            await writer.drain()
        result = await _MessageReader(reader).read_result(on_progress)
        return result, await supervisor.wait_for_exit()
    finally:
        heartbeats.cancel()
        writer.close()


async def _send_heartbeats(supervisor: SupervisorClient, writer: asyncio.StreamWriter) -> None:
    """Send heartbeats until cancelled. If the supervisor has ended, abort the channel: the child is to be ignored."""
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(SUPERVISOR_HEARTBEAT_SECONDS)
            supervisor.send_heartbeat()
    writer.transport.abort()


class _MessageReader:
    """Reads what one child sends, within the limits on all of it."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._values = 0
        self._bytes = 0

    async def read_result(self, on_progress: ProgressListener | None) -> Mapping[str, JSON] | None:
        """Read until the child closes its end. Processes of it may still run; the exit report comes after the last.

        The items of a long list that were sent before the result are in it under ITEMS.
        """
        result: Mapping[str, JSON] | None = None
        items: list[JSON] = []
        while True:
            try:
                kind, content = await self._read_message()
            except (ConnectionError, asyncio.IncompleteReadError):
                return result
            if kind is MessageKind.PROGRESS and on_progress is not None:
                await on_progress(content)
            elif kind is MessageKind.ITEMS:
                items += content
            elif kind is MessageKind.RESULT:
                result = {**content, ITEMS: items} if items else content
            elif kind is MessageKind.ERROR:
                raise child_error(content)

    async def _read_message(self) -> tuple[MessageKind, Any]:
        attachment: dict[str, Any] = {}
        try:
            kind, payload = await self._read_payload()
            while kind is MessageKind.ATTACHMENT:
                attachment = {ATTACHMENT: payload}
                kind, payload = await self._read_payload()
            content = await self._decode(payload, counted=kind in _RESULT_KINDS)
        except (ValueError, RecursionError) as error:
            _reject_message(error)
        if not isinstance(content, list if kind is MessageKind.ITEMS else dict):
            _reject_message(None)
        if isinstance(content, dict):
            if {ATTACHMENT, ITEMS} & content.keys():
                _reject_message(None)
            content |= attachment
        return kind, content

    async def _read_payload(self) -> tuple[MessageKind, bytes]:
        length, number = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        kind = MessageKind(number)
        most = _MAX_BYTES.get(kind, MAX_PROGRESS_BYTES)
        if kind in _RESULT_KINDS:
            most -= self._bytes
            self._bytes += length
        if length > most:
            raise AnalysisKilledError(f"the analysis process sent a message of {length} bytes; the limit is {most}")
        return kind, await self._reader.readexactly(length)

    async def _decode(self, payload: bytes, *, counted: bool) -> JSON:
        """Decode one payload, whose values may count. Raises ValueError or RecursionError."""
        most = MAX_RESULT_VALUES - (self._values if counted else 0)
        if len(payload) > _PARSED_IN_THREAD_BYTES:
            content, values = await asyncio.to_thread(loads_counted, payload, most)
        else:
            content, values = loads_counted(payload or b"null", most)
        self._values += values if counted else 0
        return content


def _reject_message(cause: Exception | None) -> NoReturn:
    raise AnalysisKilledError("the analysis process sent a malformed message") from cause


def child_error(content: Mapping[str, Any]) -> Vibe8Error:
    """Return the error that a child reports by `type` and `message`; AnalysisKilledError if it may not raise that."""
    message = one_line(str(content.get("message")))
    for allowed in _ALLOWED_ERRORS:
        if content.get("type") == allowed.__name__:
            return allowed(message)
    return AnalysisKilledError(f"the analysis process failed: {message}")
