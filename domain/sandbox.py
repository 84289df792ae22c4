"""What a child may touch, in the words of whoever starts it, and what a machine can promise of that."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxProfile:
    """What one child may touch beside the interpreter, the tools and the system's libraries. Paths are absolute.

    `scratch` is a directory of its own, to read, and to write only where `writable`. `readable` are further files and
    directories. `ports` are the TCP ports that it may connect to; with any of them it may also ask name servers over
    UDP, with none it has no network at all.
    """

    scratch: str
    writable: bool = False
    readable: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """As a child's guardian receives it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> "SandboxProfile":
        """What `to_json` has made."""
        return cls(
            scratch=document["scratch"],
            writable=document["writable"],
            readable=tuple(document["readable"]),
            ports=tuple(document["ports"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """One promise about every confined child.

    `name` is the promise, `feature` the kernel's part that keeps it, `available` whether this machine has that,
    `detail` what it means here, and `remedy` what an operator can do to have it. One that is not `mandatory` is a
    second lock on a door that another keeps shut.
    """

    name: str
    feature: str
    available: bool
    detail: str
    remedy: str
    mandatory: bool = True
