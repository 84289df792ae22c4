"""A running worker process, as its registry entry describes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from domain.text import JSON

READY = "ready"
LOST = "lost"
"""State of a worker that has not renewed its entry for LOST_SECONDS: it was killed or stopped, or Redis is away."""

LOST_SECONDS = 15.0
PAUSED = "paused"
"""Name of the control that stops every worker from claiming jobs. Running jobs go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker's registry entry. `started_at` and `seen_at` are seconds since 1970 by the worker's own clock."""

    replica_id: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float
    slots: int
    state: str
    """READY, LOST, or the reason why the worker claims no job now."""
    jobs: tuple[str, ...]

    @property
    def room(self) -> int:
        """How many more jobs the worker would claim now."""
        return max(0, self.slots - len(self.jobs)) if self.state == READY else 0

    def to_json(self) -> dict[str, JSON]:
        """Return the entry as it is stored in Redis."""
        return {**asdict(self), "jobs": list(self.jobs)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Self:
        """Read an entry. Raises KeyError or TypeError if another version has written it with other fields."""
        return cls(**{**value, "jobs": tuple(value["jobs"])})
