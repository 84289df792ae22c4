r"""The process that every child is forked from: it has imported the tools once, and has seen no secret.

    worker -- control socket --> zygote -- fork --> guardian (group leader) -- fork --> body (runs the entry)
       \------------------------- one socket per child ------------------------/

The worker passes the zygote one end of a fresh socket pair. The guardian reads the request from it, forks the body and
watches: when the worker closes its end, falls silent or the deadline passes, the guardian kills
the whole process group. So a child cannot outlive its worker, not even one that is stopped or whose loop is stuck. The
guardian also counts what the whole child uses. The body is confined before it runs the entry: `infrastructure.sandbox`.
"""

import contextlib
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from domain.errors import PermanentError, TransientError
from domain.ports import BEFORE
from domain.sandbox import SandboxProfile
from domain.text import JSON, one_line
from infrastructure.census import Census, children
from infrastructure.frames import ATTACHMENT, Kind, encode, receive
from infrastructure.libc import prctl
from infrastructure.privileges import die_with, hide
from infrastructure.sandbox import ChildLimits, Sandbox, confine, dump_no_core

BIND_NOW = "LD_BIND_NOW"
"""Of the zygote's own environment: its libraries' symbols are looked up once, and not again in every child."""

FAREWELL_SECONDS = 20.0
"""How long a guardian tries to tell a worker that does not read how the body ended."""

LOOK_SECONDS = 0.1
"""Between two looks at what a child uses."""

_PR_SET_CHILD_SUBREAPER = 36

Entry = Callable[[Mapping[str, JSON], Callable[[Mapping[str, JSON]], None]], Mapping[str, JSON]]
"""Takes the request and a function that reports progress; returns the answer."""


def main() -> None:
    """`python -m infrastructure.zygote FD MODULE...`: preload the modules and serve the control socket.

    The first message on it names the directory in which children will have theirs, and whether to prepare for them: a
    module's function `prepare` is then called with that directory before there is any child. The answer says what the
    sandbox is worth there.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    os.environ.pop(BIND_NOW, None)  # it was for us, and not for the programs that children start
    die_with(os.getppid())
    hide()
    dump_no_core()
    modules = [importlib.import_module(name) for name in sys.argv[2:]]
    # A threaded fork is what this warning is about; the zygote has one thread.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        _, told = receive(control)
    except (OSError, EOFError):
        return  # the worker has gone
    scratch = Path(told["scratch"])
    for module in modules if told["prepare"] else ():
        getattr(module, "prepare", lambda _: None)(scratch)
    sandbox = Sandbox.prepare(scratch)
    gc.collect()
    gc.freeze()  # what there is by now is shared with every child; a collection there would write to all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guardians reap themselves
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker drains; closing the control socket ends us
    control.sendall(encode(Kind.READY, [asdict(guarantee) for guarantee in sandbox.guarantees()]))
    while True:
        channel = _receive_channel(control)
        if os.fork() == 0:
            control.close()
            _guard(channel, sandbox)
        channel.close()


def _receive_channel(control: socket.socket) -> socket.socket:
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
        os._exit(0)  # the worker has gone; each guardian sees its own socket close
    return socket.socket(fileno=fds[0])


def _guard(channel: socket.socket, sandbox: Sandbox) -> NoReturn:
    """The guardian: fork the body, watch it, kill the group, tell how it ended. Never returns."""
    status = 1
    try:
        _take_guard()
        _, request = receive(channel)
        profile, limits = _bounds(request)
        if profile is not None:
            sandbox.give(profile)
        body = os.fork()
        if body == 0:
            _run_body(channel, request, sandbox)
        with contextlib.suppress(OSError):  # the body does the same: whoever is first, the group exists from here on
            os.setpgid(body, body)
        try:
            census = sandbox.census(profile, limits) if profile is not None else None
            deadline = time.monotonic() + request["deadline"]
            exited, code = _watch(channel, body, census, deadline=deadline, silence=request["silence"])
        finally:
            _kill_group(body)
        _say_farewell(channel, exited, code)
        status = 0
    except (OSError, EOFError):
        pass  # the worker has gone; so has the body by now
    finally:
        os._exit(status)


def _take_guard() -> None:
    """A session of its own, and whoever loses its parent comes to us."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _say_farewell(channel: socket.socket, exited: str, code: int) -> None:
    if exited != "abandoned":  # a worker that stands still reads nothing
        channel.settimeout(FAREWELL_SECONDS)
        channel.sendall(encode(Kind.EXIT, {"why": exited, "code": code, "cpu": _cpu_seconds()}))


def _cpu_seconds() -> float:
    """Of the guardian and all that it has waited for: every process of the child, since it is their subreaper."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(each.ru_utime + each.ru_stime for each in used), 4)


def _bounds(request: Mapping[str, Any]) -> tuple[SandboxProfile | None, ChildLimits]:
    profile = None if request["sandbox"] is None else SandboxProfile.from_json(request["sandbox"])
    return profile, ChildLimits.from_json(request["limits"])


def _watch(
    channel: socket.socket, body: int, census: Census | None, *, deadline: float, silence: float
) -> tuple[str, int]:
    """Wait for the body to end or for a reason to end it: (`exited`, code), or (the reason, 0).

    Reasons are `deadline`, `abandoned`, and whatever the census finds too much of.
    """
    body_end = os.pidfd_open(body)
    silent_since = time.monotonic()
    poll = select.poll()
    poll.register(body_end, select.POLLIN)
    poll.register(channel, select.POLLIN)
    try:
        while True:
            ready = {fd for fd, _ in poll.poll(1000 * (LOOK_SECONDS if census else 1.0))}
            now = time.monotonic()
            if body_end in ready:
                _, status = os.waitpid(body, 0)
                return "exited", os.waitstatus_to_exitcode(status)
            if channel.fileno() in ready:
                if not channel.recv(4096):
                    return "abandoned", 0
                silent_since = now
            if now > deadline:
                return "deadline", 0
            if now - silent_since > silence:
                return "abandoned", 0
            excess = census.excess() if census else None
            if excess is not None:
                return excess, 0
    finally:
        os.close(body_end)


def _kill_group(body: int) -> None:
    """Kill the body's group, then every orphan that has come to us (we are the subreaper), until none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(body, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        for pid in children(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.002)  # a killed process takes a moment to become waitable


def _run_body(channel: socket.socket, request: Mapping[str, Any], sandbox: Sandbox) -> NoReturn:
    """The body: run the entry and send what it says. Never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        die_with(os.getppid())
        _mute()
        _keep_only(channel)
        profile, limits = _bounds(request)
        if profile is None:
            confine(limits)
        else:
            sandbox.enter(profile, limits)

        def tell(progress: Mapping[str, JSON]) -> None:
            channel.sendall(encode(Kind.PROGRESS, progress))

        attached = {ATTACHMENT: request[ATTACHMENT]} if ATTACHMENT in request else {}
        answer = _entry(request["entry"])({**request["request"], **attached}, tell)
        sequel = request["then"]
        if sequel is not None:
            if profile is not None:
                sandbox.write_no_more()
            answer = {**_entry(sequel["entry"])({**sequel["request"], BEFORE: answer}, tell), BEFORE: answer}
        channel.sendall(encode(Kind.ANSWER, answer))
        status = 0
    except (PermanentError, TransientError) as error:
        channel.sendall(encode(Kind.ERROR, {"type": type(error).__name__, "message": one_line(str(error))}))
        status = 0
    except BaseException as error:  # noqa: BLE001 - a bug of ours must be told, too
        message = one_line(f"{type(error).__name__}: {error}")
        channel.sendall(encode(Kind.ERROR, {"type": "", "message": message}))
    finally:
        os._exit(status)


def _entry(name: str) -> Entry:
    module, _, function = name.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    return entry


def _mute() -> None:
    """Tools that chatter about hostile input would write it into the worker's log; what matters is told in messages."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _keep_only(channel: socket.socket) -> None:
    """Close every descriptor but this and the muted three, whatever it was inherited from."""
    os.closerange(3, channel.fileno())
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    os.closerange(channel.fileno() + 1, most if most != resource.RLIM_INFINITY else 1 << 20)


if __name__ == "__main__":
    main()
