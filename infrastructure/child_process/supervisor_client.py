"""The worker's side of a supervisor: spawn a child, send heartbeats, wait for its exit, or shut the supervisor down."""

import asyncio
import contextlib
import socket
from typing import Self

from domain.errors import AnalysisKilledError
from infrastructure.child_process.supervisor_protocol import (
    HEARTBEAT,
    MAX_EXIT_REPORT_BYTES,
    ExitReport,
    SpawnRequest,
)

SHUTDOWN_TIMEOUT_SECONDS = 30.0
"""How long to wait for a supervisor to kill its child and end. It needs milliseconds unless it is stopped or stuck."""

SUPERVISOR_LOST = "the supervisor process ended unexpectedly, and the analysis with it"


class SupervisorClient:
    """Connection to one supervisor, which serves one child at a time and alone holds the other end."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` is the worker's end of the SOCK_SEQPACKET pair."""
        connection.setblocking(False)  # noqa: FBT003 - the method has no keyword
        self._connection = connection

    @classmethod
    def for_new_supervisor(cls, control: socket.socket) -> Self:
        """Let the zygote behind the control socket fork a supervisor. Raises OSError if the zygote has ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(control, [b"s"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(ours)

    def spawn(self, request: SpawnRequest) -> socket.socket:
        """Let the supervisor start a child and return the channel to it. Raises OSError if the supervisor has ended."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._connection, [request.encode()], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def send_heartbeat(self) -> None:
        """Tell the supervisor that the worker is alive. Raises OSError if it has ended or no longer reads."""
        self._connection.send(HEARTBEAT)

    async def wait_for_exit(self) -> ExitReport:
        """Wait until no process of the child is left, and return how it ended.

        Raises AnalysisKilledError if the supervisor itself has ended.
        """
        try:
            message = await asyncio.get_running_loop().sock_recv(self._connection, MAX_EXIT_REPORT_BYTES)
        except OSError:
            message = b""
        if not message:
            raise AnalysisKilledError(SUPERVISOR_LOST)
        return ExitReport.decode(message)

    async def shut_down(self) -> None:
        """Let the supervisor kill its child, if any, and end. Wait for that, but not for ever if it is stopped."""
        try:
            with contextlib.suppress(OSError, TimeoutError):
                self._connection.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(SHUTDOWN_TIMEOUT_SECONDS):
                    while await asyncio.get_running_loop().sock_recv(self._connection, MAX_EXIT_REPORT_BYTES):
                        pass
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection to a supervisor that has no child. The supervisor then ends."""
        self._connection.close()
