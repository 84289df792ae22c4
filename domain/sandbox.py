"""The sandbox of a child process: what its profile allows, and what this machine guarantees."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxProfile:
    """What one child may access beside the interpreter, the tools and the system's libraries. Paths are absolute.

    `scratch` is the child's own directory. It may read there, and write only with `scratch_writable`.
    `readable_paths` are further files and directories. `tcp_ports` are the TCP ports to which it may connect; with at
    least one of them it may also query name servers over UDP. Without any it has no network. `memory_bytes` limits the
    address space of each process, and `total_memory_bytes` the resident memory of all; None: the runner's limits hold.
    """

    scratch: str
    scratch_writable: bool = False
    readable_paths: tuple[str, ...] = ()
    tcp_ports: tuple[int, ...] = ()
    memory_bytes: int | None = None
    total_memory_bytes: int | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the profile as it is sent to a child's supervisor."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> "SandboxProfile":
        """Rebuild a profile from the result of `to_json`."""
        return cls(
            scratch=document["scratch"],
            scratch_writable=document["scratch_writable"],
            readable_paths=tuple(document["readable_paths"]),
            tcp_ports=tuple(document["tcp_ports"]),
            memory_bytes=document["memory_bytes"],
            total_memory_bytes=document["total_memory_bytes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """One restriction that the sandbox guarantees for every child, if this machine can enforce it.

    `name` is the restriction and `feature` the kernel feature that enforces it. `available` says whether this machine
    has that feature. `detail` describes the effect here, and `remedy` what an operator can do to get the feature.
    One that is not `mandatory` is defence in depth: another guarantee already enforces the same restriction.
    """

    name: str
    feature: str
    available: bool
    detail: str
    remedy: str
    mandatory: bool = True
