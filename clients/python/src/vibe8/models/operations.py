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
    overdue_checks: int
    """Checks of tracked repositories that are 10 minutes late."""
    queue: Mapping[str, CountedJobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCounts:
    """How many jobs ended, by outcome."""

    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteOfEnds:
    """The ends of the minute that began then."""

    began_at: datetime
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The ends of jobs in each minute of the last hour; the last of `minutes` has not ended."""

    jobs_a_minute: float
    """The mean of the last five whole minutes."""
    last_hour: EndCounts
    minutes: Sequence[MinuteOfEnds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The next check of a tracked repository, and how the last one ended."""

    repository_id: str
    full_name: str
    clone_url: str
    owner: str
    schedule: str | None
    due_at: datetime
    is_due: bool
    is_running: bool
    analysis_status: str
    failures: int
    refusals: int
    last_error: str | None
    last_analyzed: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A webhook delivery of any user. Of the receiver's URL, which may hold a secret, there is the host."""

    notice_id: str
    state: str
    status: str
    attempt: int
    due_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None
    job_id: str
    owner: str | None
    host: str


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
