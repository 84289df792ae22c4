"""The supervisor process: it starts a child, watches it, kills all of it, reports how it ended, and serves the next.

It kills the child and every descendant when the worker closes the connection or sends no heartbeat, when the deadline
passes, and when the child exceeds a limit on what all its processes use together. So no child outlives its worker, not
even a worker that is stopped or whose event loop is stuck.

It reads neither the request nor the result of a child. So one supervisor can serve children of different users: its
memory, which each child inherits, holds no data of an earlier child.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from infrastructure.child_process.child import run_child
from infrastructure.child_process.supervisor_protocol import (
    DEADLINE_EXCEEDED,
    EXITED,
    HEARTBEAT,
    MAX_SPAWN_REQUEST_BYTES,
    WORKER_SILENT,
    ExitReport,
    SpawnRequest,
)
from infrastructure.sandbox.libc import prctl
from infrastructure.sandbox.resource_usage import ResourceUsage, child_pids
from infrastructure.sandbox.sandbox import Sandbox

EXIT_REPORT_TIMEOUT_SECONDS = 20.0
"""How long to try to send an exit report to a worker that does not read."""

USAGE_CHECK_SECONDS = 0.1
"""Interval between two checks of what a child uses."""

EXIT_CHECK_SECONDS = 1.0
"""Interval between two checks of deadline and heartbeat for a child whose usage is not checked."""

_PR_SET_CHILD_SUBREAPER = 36


def run_supervisor(connection: socket.socket, sandbox: Sandbox) -> NoReturn:
    """Serve one child after another until the worker closes the connection or is lost. Never returns."""
    status = 1
    try:
        _become_subreaper()
        sandbox.unshare_network()
        while _serve_child(connection, sandbox):
            pass
        status = 0
    except OSError:
        pass  # the worker has ended, or the child's directory is gone; the child has been killed by now
    finally:
        os._exit(status)


def _become_subreaper() -> None:
    """Start a session, and let the kernel re-parent orphaned descendants to this process."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _serve_child(connection: socket.socket, sandbox: Sandbox) -> bool:
    """Wait for a request, run its child to the end and report; return whether to wait for another request."""
    received = _receive_spawn_request(connection)
    if received is None:
        return False
    request, channel_fd = received
    cpu_before = _cpu_seconds()
    child_pid = _spawn_child(connection, sandbox, request, channel_fd)
    try:
        usage = None if request.sandbox is None else sandbox.resource_usage(request.sandbox, request.limits)
        reason, exit_code = _watch(connection, child_pid, usage, request)
    finally:
        _kill_all(child_pid)
    if reason == WORKER_SILENT:  # a stopped worker would not read the report
        return False
    report = ExitReport(reason=reason, exit_code=exit_code, cpu_seconds=round(_cpu_seconds() - cpu_before, 4))
    connection.settimeout(EXIT_REPORT_TIMEOUT_SECONDS)
    connection.sendall(report.encode())
    connection.settimeout(None)
    return True


def _spawn_child(connection: socket.socket, sandbox: Sandbox, request: SpawnRequest, channel_fd: int) -> int:
    """Fork the child, in a process group of its own, and return its pid."""
    if request.sandbox is not None:
        sandbox.chown_scratch(request.sandbox)
    supervisor_pid, child_pid = os.getpid(), os.fork()
    if child_pid == 0:
        connection.close()
        run_child(socket.socket(fileno=channel_fd), sandbox, request.sandbox, request.limits, supervisor_pid)
    os.close(channel_fd)
    with contextlib.suppress(OSError):  # the child does the same: after either call its process group exists
        os.setpgid(child_pid, child_pid)
    return child_pid


def _receive_spawn_request(connection: socket.socket) -> tuple[SpawnRequest, int] | None:
    """Return the next request and the descriptor of the child's channel; None if the worker closed the connection."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_SPAWN_REQUEST_BYTES, 1)
        if descriptors:
            return SpawnRequest.decode(message), descriptors[0]
        if not message:
            return None
        # Otherwise it is a heartbeat for a child that has just ended.


def _cpu_seconds() -> float:
    """CPU time of this process and of all that it has reaped: as subreaper it reaps every process of its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _watch(
    connection: socket.socket, child_pid: int, usage: ResourceUsage | None, request: SpawnRequest
) -> tuple[str, int]:
    """Wait for the child to end or for a reason to kill it; return the reason and the exit code (see ExitReport).

    WORKER_SILENT is the reason where the worker closed the connection or sent no heartbeat.
    """
    child_fd = os.pidfd_open(child_pid)
    last_heartbeat = time.monotonic()
    deadline = last_heartbeat + request.deadline
    poll = select.poll()
    poll.register(child_fd, select.POLLIN)
    poll.register(connection, select.POLLIN)
    try:
        while True:
            ready = {fd for fd, _ in poll.poll(1000 * (USAGE_CHECK_SECONDS if usage else EXIT_CHECK_SECONDS))}
            now = time.monotonic()
            if child_fd in ready:
                _, status = os.waitpid(child_pid, 0)
                return EXITED, os.waitstatus_to_exitcode(status)
            if connection.fileno() in ready:
                if not connection.recv(len(HEARTBEAT)):
                    return WORKER_SILENT, 0
                last_heartbeat = now
            if now > deadline:
                return DEADLINE_EXCEEDED, 0
            if now - last_heartbeat > request.heartbeat_timeout:
                return WORKER_SILENT, 0
            exceeded = usage.exceeded_limit() if usage else None
            if exceeded is not None:
                return exceeded, 0
    finally:
        os.close(child_fd)


def _kill_all(child_pid: int) -> None:
    """Kill the child's process group, then every orphan that was re-parented to this process, until none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child_pid, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        for pid in child_pids(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.002)  # a killed process takes a moment to become waitable
