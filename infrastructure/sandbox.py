"""What confines a child before it touches hostile input."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass

from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """Limits on each process of a child: bytes of address space, bytes of one written file, open descriptors."""

    memory_bytes: int
    file_bytes: int
    open_files: int = 1024

    def to_json(self) -> dict[str, JSON]:
        """As the zygote receives it."""
        return {
            "memory_bytes": self.memory_bytes,
            "file_bytes": self.file_bytes,
            "open_files": self.open_files,
        }


def confine(limits: Mapping[str, JSON]) -> None:
    """Apply the limits to this process and to all that it will start; no core dumps."""
    _limit(resource.RLIMIT_AS, limits["memory_bytes"])
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    _limit(resource.RLIMIT_CORE, 0)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
