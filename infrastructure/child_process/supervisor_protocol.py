"""Messages between the worker and a supervisor: the request to spawn a child, and the report of how it ended.

They travel over a SOCK_SEQPACKET socket, which keeps message boundaries. A third message, HEARTBEAT, has no content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from domain.sandbox import SandboxProfile
from infrastructure.json_codec import dumps, loads
from infrastructure.sandbox.sandbox import ChildLimits

MAX_SPAWN_REQUEST_BYTES = 128 * 1024
"""Less than a socket's usual buffer."""

MAX_EXIT_REPORT_BYTES = 4096
HEARTBEAT = b"heartbeat"

EXITED = "exited"
DEADLINE_EXCEEDED = "deadline"
WORKER_SILENT = "worker_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnRequest:
    """How to start one child. `sandbox` is None for a child whose resource usage alone is limited.

    The supervisor kills the child after `deadline` seconds, or after `heartbeat_timeout` seconds without a heartbeat.
    """

    deadline: float
    heartbeat_timeout: float
    limits: ChildLimits
    sandbox: SandboxProfile | None

    def encode(self) -> bytes:
        """Return the request as it is sent."""
        return dumps(
            {
                "deadline": self.deadline,
                "heartbeat_timeout": self.heartbeat_timeout,
                "limits": self.limits.to_json(),
                "sandbox": self.sandbox and self.sandbox.to_json(),
            }
        )

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Rebuild a request from the result of `encode`."""
        document: Mapping[str, Any] = loads(message)
        return cls(
            deadline=document["deadline"],
            heartbeat_timeout=document["heartbeat_timeout"],
            limits=ChildLimits.from_json(document["limits"]),
            sandbox=None if document["sandbox"] is None else SandboxProfile.from_json(document["sandbox"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How a child ended, sent once no process of it is left.

    `reason` is EXITED, DEADLINE_EXCEEDED or the resource whose limit was exceeded (`tasks`, `memory`, `sockets`,
    `disk`).
    `exit_code` is negative for a signal, and 0 where the supervisor killed the child. `cpu_seconds` is the CPU time of
    all its processes and of the supervisor meanwhile.
    """

    reason: str
    exit_code: int
    cpu_seconds: float

    def encode(self) -> bytes:
        """Return the report as it is sent."""
        return dumps({"reason": self.reason, "exit_code": self.exit_code, "cpu_seconds": self.cpu_seconds})

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Rebuild a report from the result of `encode`."""
        return cls(**loads(message))
