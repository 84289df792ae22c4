"""The child process: it enters its sandbox, and only then reads its request and calls the entry function."""

import importlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from domain.errors import PermanentError, TransientError
from domain.ports import PREVIOUS_RESULT
from domain.sandbox import SandboxProfile
from domain.text import JSON, one_line
from infrastructure.child_process.process_control import close_other_fds
from infrastructure.child_process.wire_protocol import (
    ATTACHMENT,
    ITEMS,
    MessageKind,
    receive_message,
    receive_payload,
    send_message,
)
from infrastructure.sandbox.privileges import set_parent_death_signal
from infrastructure.sandbox.sandbox import ChildLimits, Sandbox, apply_limits

ReportProgress = Callable[[Mapping[str, JSON]], None]
Entry = Callable[[Mapping[str, JSON], ReportProgress], Mapping[str, JSON]]
"""Takes the request and a function that reports progress; returns the result.

A request with an attachment has under ATTACHMENT a function that returns it, once it is there.

A report of `{ITEMS: [...]}` is a part of a long list that belongs to the result.
"""


def run_child(
    channel: socket.socket, sandbox: Sandbox, profile: SandboxProfile | None, limits: ChildLimits, supervisor_pid: int
) -> NoReturn:
    """Enter the sandbox (without a profile: only apply the limits), serve one request and exit. Never returns."""
    status, request = 1, None
    try:
        os.setpgid(0, 0)
        set_parent_death_signal(supervisor_pid)
        redirect_stdio()
        sandbox.rejoin_network(profile)
        close_other_fds(channel.fileno())
        if profile is None:
            apply_limits(limits)
        else:
            sandbox.enter(profile, limits)
        _, request = receive_message(channel)
        result = _run_entries(channel, request, None if profile is None else sandbox)
        send_message(channel, MessageKind.RESULT, result)
        status = 0
    except (PermanentError, TransientError) as error:
        _send_error(channel, type(error).__name__, str(error))
        status = 0
    except BaseException as error:  # noqa: BLE001 - a fault in our own code must be reported as well
        if request is None:  # a worker that is still sending the request would not read the error
            with suppress(Exception):
                receive_message(channel)
        _send_error(channel, "", f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _send_error(channel: socket.socket, error_type: str, message: str) -> None:
    send_message(channel, MessageKind.ERROR, {"type": error_type, "message": one_line(message)})


def _run_entries(channel: socket.socket, request: Mapping[str, Any], sandbox: Sandbox | None) -> Mapping[str, JSON]:
    """Call the entry and then its follow-up, if any, which has no write access; return the last one's result."""

    def report_progress(progress: Mapping[str, JSON]) -> None:
        if ITEMS in progress:
            send_message(channel, MessageKind.ITEMS, progress[ITEMS])
        else:
            send_message(channel, MessageKind.PROGRESS, progress)

    entry = _load_entry(request["entry"])
    with _attachment(channel, request) as attachment:
        result = entry({**request["request"], **attachment}, report_progress)
    follow_up = request["follow_up"]
    if follow_up is None:
        return result
    if sandbox is not None:
        sandbox.revoke_write()
    second = _load_entry(follow_up["entry"])({**follow_up["request"], PREVIOUS_RESULT: result}, report_progress)
    return {**second, PREVIOUS_RESULT: result}


@contextmanager
def _attachment(channel: socket.socket, request: Mapping[str, Any]) -> Iterator[Mapping[str, Callable[[], bytes]]]:
    """Yield the function that receives the request's attachment, by key, if it has one.

    At the end the attachment has been received: a worker that is still sending it would not read the result.
    """
    received: list[bytes] = []

    def receive() -> bytes:
        if not received:
            received.append(receive_payload(channel)[1])
        return received[0]

    try:
        yield {ATTACHMENT: receive} if request["attached"] else {}
    finally:
        if request["attached"]:
            receive()


def _load_entry(name: str) -> Entry:
    module, _, function = name.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    return entry


def redirect_stdio() -> None:
    """Redirect the standard streams to /dev/null: tools print hostile text, which must not reach the worker's log."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
