"""What operators see: the queue, the workers, the audit log; and the codes of problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedJobs:
    """How many jobs are in a state, and the age of the oldest in seconds."""

    jobs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The jobs of all users by state, as they were counted so many seconds ago; None: not yet."""

    paused: bool
    counted_seconds_ago: float | None
    queue: Mapping[str, CountedJobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Whether the fleet is paused, and whether this call has changed that."""

    paused: bool
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker: its slots, its jobs and its last report."""

    replica_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    slots: int
    state: str
    jobs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what."""

    id: str
    created_at: datetime
    user_id: str | None
    action: str
    resource_type: str
    resource_id: str | None
    details: Mapping[str, Any]
    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCode:
    """A code of problems, and what it means."""

    code: str
    status: int
    title: str
    meaning: str
