"""A worker process among others."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from domain.text import JSON

PAUSED = "paused"
"""The control that keeps every replica from claiming; running jobs go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a replica last said of itself. `started_at` and `seen_at` are seconds since 1970 by its own clock."""

    replica_id: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float
    slots: int
    state: str
    """`ready`, or why it would not claim just now."""
    jobs: tuple[str, ...]

    def to_json(self) -> dict[str, JSON]:
        """As it is kept in Redis."""
        return {**asdict(self), "jobs": list(self.jobs)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Self:
        """The inverse. Raises KeyError or TypeError on what another version may have written."""
        return cls(**{**value, "jobs": tuple(value["jobs"])})
