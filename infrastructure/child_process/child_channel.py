"""The worker's side of the channel to a child: send the request, pass on progress, and return the result.

The child may have been taken over, so every message is checked: one that is malformed or too long fails this child's
job and nothing else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
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
    MAX_ATTACHMENT_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_PROGRESS_BYTES,
    MAX_RESULT_VALUES,
    MessageKind,
    encode_message,
)
from infrastructure.json_codec import loads, loads_untrusted

SUPERVISOR_HEARTBEAT_SECONDS = 5.0
"""Interval between two heartbeats to the supervisor."""

_PARSED_IN_THREAD_BYTES = 1 << 16
"""A longer payload is parsed in a thread, so that the event loop can renew leases meanwhile."""

_MAX_BYTES = {MessageKind.ATTACHMENT: MAX_ATTACHMENT_BYTES, MessageKind.RESULT: MAX_PAYLOAD_BYTES}

_ALLOWED_ERRORS = (InvalidInputError, PermanentError, ServiceUnavailableError, TransientError)
"""What a child may raise. It cannot claim that the lease is lost or that the user cancelled the job."""


async def exchange(
    supervisor: SupervisorClient,
    channel: socket.socket,
    request: Mapping[str, JSON],
    on_progress: ProgressListener | None,
) -> tuple[Mapping[str, JSON] | None, ExitReport]:
    """Send the request and return the child's result, None if it sent none, and how the child ended.

    Sends heartbeats to the supervisor meanwhile. Raises what the child raised, and AnalysisKilledError if a message is
    malformed or the supervisor ended.
    """
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    heartbeats = asyncio.create_task(_send_heartbeats(supervisor, writer))
    try:
        with contextlib.suppress(ConnectionError):  # the child has died already; the exit report says why
            writer.write(encode_message(MessageKind.REQUEST, request))
            await writer.drain()
        result = await _read_result(reader, on_progress)
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


async def _read_result(reader: asyncio.StreamReader, on_progress: ProgressListener | None) -> Mapping[str, JSON] | None:
    """Read until the child closes its end. Processes of it may still run then; the exit report comes after the last."""
    result: Mapping[str, JSON] | None = None
    while True:
        try:
            kind, content = await _read_message(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            return result
        if kind is MessageKind.PROGRESS and on_progress is not None:
            await on_progress(content)
        elif kind is MessageKind.RESULT:
            result = content
        elif kind is MessageKind.ERROR:
            raise child_error(content)


async def _read_message(reader: asyncio.StreamReader) -> tuple[MessageKind, dict[str, Any]]:
    attachment: dict[str, Any] = {}
    try:
        kind, payload = await _read_payload(reader)
        while kind is MessageKind.ATTACHMENT:
            attachment = {ATTACHMENT: payload}
            kind, payload = await _read_payload(reader)
        if len(payload) > _PARSED_IN_THREAD_BYTES:
            content = await asyncio.to_thread(loads_untrusted, payload, MAX_RESULT_VALUES)
        else:
            content = loads(payload or b"null")
    except (ValueError, RecursionError) as error:
        _reject_message(error)
    if not isinstance(content, dict) or ATTACHMENT in content:
        _reject_message(None)
    return kind, content | attachment


def _reject_message(cause: Exception | None) -> NoReturn:
    raise AnalysisKilledError("the analysis process sent a malformed message") from cause


async def _read_payload(reader: asyncio.StreamReader) -> tuple[MessageKind, bytes]:
    length, number = HEADER.unpack(await reader.readexactly(HEADER.size))
    kind = MessageKind(number)
    most = _MAX_BYTES.get(kind, MAX_PROGRESS_BYTES)
    if length > most:
        raise AnalysisKilledError(f"the analysis process sent a message of {length} bytes; the limit is {most}")
    return kind, await reader.readexactly(length)


def child_error(content: Mapping[str, Any]) -> Vibe8Error:
    """Return the error that a child reports by `type` and `message`; AnalysisKilledError if it may not raise that."""
    message = one_line(str(content.get("message")))
    for allowed in _ALLOWED_ERRORS:
        if content.get("type") == allowed.__name__:
            return allowed(message)
    return AnalysisKilledError(f"the analysis process failed: {message}")
