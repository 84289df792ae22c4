"""Starts a child's body, watches it, ends it whole, tells the worker how it ended; and does so for the next child.

When the worker lets go of the leash, falls silent, or the deadline passes, the guardian kills the body with all that
it has started. So a child cannot outlive its worker, not even one that is stopped or whose loop is stuck. It also
counts what the whole child uses. It reads neither the request nor anything else that a body is given or says, so one
guardian can serve children of different users: nothing of one is there to be found by the next.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from domain.sandbox import SandboxProfile
from infrastructure.child_process.child import run_child
from infrastructure.json_codec import dumps, loads
from infrastructure.sandbox.libc import prctl
from infrastructure.sandbox.resource_usage import ResourceUsage, children
from infrastructure.sandbox.sandbox import ChildLimits, Sandbox

MAX_SPAWN_REQUEST_BYTES = 128 * 1024
"""Bytes of one message on a leash, which keeps messages apart (SOCK_SEQPACKET): less than a socket's usual buffer."""

EXIT_REPORT_TIMEOUT_SECONDS = 20.0
"""How long a guardian tries to tell a worker that does not read how the body ended."""

RESOURCE_CHECK_SECONDS = 0.1
"""Between two looks at what a child uses."""

_PR_SET_CHILD_SUBREAPER = 36


def run_supervisor(leash: socket.socket, sandbox: Sandbox) -> NoReturn:
    """Serve one child after another, until the worker has gone or has given one up. Never returns."""
    status = 1
    try:
        _become_session_leader()
        sandbox.unshare_network()
        while _serve(leash, sandbox):
            pass
        status = 0
    except OSError:
        pass  # the worker has gone, or the body's directory has; and so has the body by now
    finally:
        os._exit(status)


def _become_session_leader() -> None:
    """A session of its own, and whoever loses its parent comes to us."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _serve(leash: socket.socket, sandbox: Sandbox) -> bool:
    """Wait for an order, see its body to the end, say how it ended; False where there is nobody to say it to."""
    order, descriptors = _receive_order(leash)
    if order is None:
        return False
    before = _cpu_seconds()
    profile = None if order["sandbox"] is None else SandboxProfile.from_json(order["sandbox"])
    limits = ChildLimits.from_json(order["limits"])
    if profile is not None:
        sandbox.chown_scratch(profile)
    ourselves, body = os.getpid(), os.fork()
    if body == 0:
        leash.close()
        run_child(socket.socket(fileno=descriptors[0]), sandbox, profile, limits, ourselves)
    os.close(descriptors[0])
    with contextlib.suppress(OSError):  # the body does the same: whoever is first, the group exists from here on
        os.setpgid(body, body)
    try:
        resource_usage = sandbox.resource_usage(profile, limits) if profile is not None else None
        deadline = time.monotonic() + order["deadline"]
        why, code = _watch(leash, body, resource_usage, deadline=deadline, silence=order["silence"])
    finally:
        _kill_group(body)
    if why == "abandoned":  # a worker that stands still reads nothing
        return False
    leash.settimeout(EXIT_REPORT_TIMEOUT_SECONDS)
    leash.sendall(dumps({"why": why, "code": code, "cpu": round(_cpu_seconds() - before, 4)}))
    leash.settimeout(None)
    return True


def _receive_order(leash: socket.socket) -> tuple[Mapping[str, Any] | None, list[int]]:
    """What is to be done, and the body's channel; None where the worker has gone."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(leash, MAX_SPAWN_REQUEST_BYTES, 1)
        if descriptors:
            return loads(message), descriptors
        if not message:
            return None, []
        # A sign of life for a body that had just ended.


def _cpu_seconds() -> float:
    """Of the guardian and all that it has waited for: every process of its children, since it is their subreaper."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _watch(
    leash: socket.socket, body: int, resource_usage: ResourceUsage | None, *, deadline: float, silence: float
) -> tuple[str, int]:
    """Wait for the body to end or for a reason to end it: (`exited`, code), or (the reason, 0).

    Reasons are `deadline`, `abandoned`, and whatever the resource_usage finds too much of.
    """
    body_end = os.pidfd_open(body)
    silent_since = time.monotonic()
    poll = select.poll()
    poll.register(body_end, select.POLLIN)
    poll.register(leash, select.POLLIN)
    try:
        while True:
            ready = {fd for fd, _ in poll.poll(1000 * (RESOURCE_CHECK_SECONDS if resource_usage else 1.0))}
            now = time.monotonic()
            if body_end in ready:
                _, status = os.waitpid(body, 0)
                return "exited", os.waitstatus_to_exitcode(status)
            if leash.fileno() in ready:
                if not leash.recv(4096):
                    return "abandoned", 0
                silent_since = now
            if now > deadline:
                return "deadline", 0
            if now - silent_since > silence:
                return "abandoned", 0
            exceeded_limit = resource_usage.exceeded_limit() if resource_usage else None
            if exceeded_limit is not None:
                return exceeded_limit, 0
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
        time.sleep(0.002)  # a killed process takes a moment to drop_privileges waitable
