"""The worker's end of a guardian's leash: start a child's body, keep it alive, hear how it ended, or give it up."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any

from domain.errors import AnalysisKilledError
from domain.text import JSON
from infrastructure.json_codec import dumps, loads

SHUTDOWN_TIMEOUT_SECONDS = 30.0
"""The longest wait for a guardian that has been given up: it kills in milliseconds, or something holds it."""

_MESSAGE = 4096
"""Bytes of what a guardian says, at most."""

SUPERVISOR_LOST = "the process that watched the analysis has gone, and the analysis with it"


class SupervisorClient:
    """Of one guardian, which serves one child at a time, and alone holds the other end.

    Messages are kept apart by the socket (SOCK_SEQPACKET), so each is sent and received whole.
    """

    def __init__(self, end: socket.socket) -> None:
        """`end` is ours."""
        end.setblocking(False)  # noqa: FBT003 - the method has no keyword
        self._end = end

    @classmethod
    def for_new_supervisor(cls, control: socket.socket) -> "SupervisorClient":
        """Let the zygote behind the control socket fork one. Raises OSError where it has gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(control, [b"g"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(ours)

    def start(self, order: Mapping[str, JSON]) -> socket.socket:
        """Let the guardian start a body; the channel to that is the answer. Raises OSError where it has gone.

        The order says the body's `deadline` and for how long we may be silent (seconds), its `limits` and `sandbox`.
        """
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._end, [dumps(order)], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def live(self) -> None:
        """Tell the guardian that we are alive. Raises OSError where it has gone, or reads nothing any more."""
        self._end.send(b"alive")

    async def ended(self) -> Mapping[str, Any]:
        """How the body ended, once nothing of it is left: `why`, its exit `code`, and the `cpu` seconds that it took.

        Raises AnalysisKilledError where the guardian itself has ended.
        """
        try:
            message = await asyncio.get_running_loop().sock_recv(self._end, _MESSAGE)
        except OSError:
            message = b""
        if not message:
            raise AnalysisKilledError(SUPERVISOR_LOST)
        end: Mapping[str, Any] = loads(message)
        return end

    async def give_up(self) -> None:
        """Let the guardian kill the body, if there is one, and end; wait until it has, but for no stopped guardian."""
        try:
            with contextlib.suppress(OSError, TimeoutError):
                self._end.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(SHUTDOWN_TIMEOUT_SECONDS):
                    while await asyncio.get_running_loop().sock_recv(self._end, _MESSAGE):
                        pass
        finally:
            self.close()

    def close(self) -> None:
        """Let go of a guardian that has no body to kill."""
        self._end.close()
