"""A running worker process, as its registry entry describes it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from domain.text import JSON

READY = "ready"
LOST = "lost"
"""State of a worker that has not renewed its entry for LOST_SECONDS: it was killed or stopped, or Redis is away."""

LOST_SECONDS = 15.0
MAX_TEXT = 500
"""Characters of one text in an entry."""

MAX_TIME = 1e11
"""Seconds since 1970; a later time is none."""

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
        """Read an entry. Raises ValueError if another program, or another version, has written it."""
        if value.keys() != _FIELDS.keys() or not all(check(value[name]) for name, check in _FIELDS.items()):
            raise ValueError("not the entry of a worker of this version")
        return cls(**{**value, "jobs": tuple(value["jobs"])})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_TIME


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "replica_id": _is_text,
    "host": _is_text,
    "pid": _is_count,
    "version": _is_text,
    "started_at": _is_time,
    "seen_at": _is_time,
    "slots": _is_count,
    "state": _is_text,
    "jobs": lambda jobs: isinstance(jobs, list) and all(map(_is_text, jobs)),
}
