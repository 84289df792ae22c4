"""What confines a child before it touches hostile input."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import InvalidInputError
from domain.text import JSON

NOT_CONFINED = "no network, only its own files, an unprivileged user"
"""What a whole sandbox would also guarantee; nothing here does yet."""


def require(sandbox: str) -> None:
    """Raise InvalidInputError where the setting asks for more than there is: nobody must believe in a sandbox."""
    if sandbox == "required":
        raise InvalidInputError(
            f"SANDBOX=required cannot be met: children are bounded in memory, files and time, but not ({NOT_CONFINED});"
            " unset it, and confine the worker's container"
        )


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
