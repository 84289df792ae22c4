"""The process that does a child's work: it confines itself, and only then reads what it is to do."""

import importlib
import os
import resource
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from domain.errors import PermanentError, TransientError
from domain.ports import PREVIOUS_RESULT
from domain.sandbox import SandboxProfile
from domain.text import JSON, one_line
from infrastructure.child_process.wire_protocol import ATTACHMENT, MessageKind, encode_message, receive_message
from infrastructure.sandbox.privileges import set_parent_death_signal
from infrastructure.sandbox.sandbox import ChildLimits, Sandbox, apply_limits

Tell = Callable[[Mapping[str, JSON]], None]
Entry = Callable[[Mapping[str, JSON], Tell], Mapping[str, JSON]]
"""Takes the request and a function that reports progress; returns the answer."""


def run_child(
    channel: socket.socket, sandbox: Sandbox, profile: SandboxProfile | None, limits: ChildLimits, guardian: int
) -> NoReturn:
    """Confine this process (without a profile: limit it), run the request's entry, send what it says. Never returns."""
    status, request = 1, None
    try:
        os.setpgid(0, 0)
        set_parent_death_signal(guardian)
        redirect_stdio()
        sandbox.rejoin_network(profile)
        close_other_fds(channel)
        if profile is None:
            apply_limits(limits)
        else:
            sandbox.enter(profile, limits)
        _, request = receive_message(channel)
        channel.sendall(
            encode_message(MessageKind.ANSWER, _answer(channel, request, sandbox if profile is not None else None))
        )
        status = 0
    except (PermanentError, TransientError) as error:
        channel.sendall(
            encode_message(MessageKind.ERROR, {"type": type(error).__name__, "message": one_line(str(error))})
        )
        status = 0
    except BaseException as error:  # noqa: BLE001 - a bug of ours must be told, too
        if request is None:  # or a worker that is still writing it would not hear us
            with suppress(Exception):
                receive_message(channel)
        message = one_line(f"{type(error).__name__}: {error}")
        channel.sendall(encode_message(MessageKind.ERROR, {"type": "", "message": message}))
    finally:
        os._exit(status)


def _answer(channel: socket.socket, request: Mapping[str, Any], sandbox: Sandbox | None) -> Mapping[str, JSON]:
    """What the entry says, and its follow_up, if there is one: that may write no more."""

    def tell(progress: Mapping[str, JSON]) -> None:
        channel.sendall(encode_message(MessageKind.PROGRESS, progress))

    attached = {ATTACHMENT: request[ATTACHMENT]} if ATTACHMENT in request else {}
    answer = _entry(request["entry"])({**request["request"], **attached}, tell)
    follow_up = request["follow_up"]
    if follow_up is None:
        return answer
    if sandbox is not None:
        sandbox.revoke_write()
    return {
        **_entry(follow_up["entry"])({**follow_up["request"], PREVIOUS_RESULT: answer}, tell),
        PREVIOUS_RESULT: answer,
    }


def _entry(name: str) -> Entry:
    module, _, function = name.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    return entry


def redirect_stdio() -> None:
    """Tools that chatter about hostile input would write it into the worker's log; what matters is told in messages."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def close_other_fds(channel: socket.socket) -> None:
    """Close every descriptor but this and the muted three, whatever it was inherited from."""
    os.closerange(3, channel.fileno())
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    os.closerange(channel.fileno() + 1, most if most != resource.RLIM_INFINITY else 1 << 20)
