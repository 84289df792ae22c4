"""A check of a tracked repository that is due or scheduled, as operators see it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.text import JSON
from domain.tracking.repository import AnalysisStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCheckCursor:
    """The place in a list of checks after which the next page starts."""

    due_at: datetime
    repository_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCheck:
    """A repository and its next check: by its `schedule`, or asked for by its owner or host.

    `failures` counts the checks that failed one after the other, `refusals` those whose analysis a limit of the owner
    refused.
    """

    repository_id: UUID
    full_name: str
    clone_url: str
    owner: str
    schedule: str | None
    due_at: datetime
    is_due: bool
    is_running: bool
    analysis_status: AnalysisStatus
    failures: int
    refusals: int
    last_error: str | None
    last_analyzed: datetime | None

    @property
    def cursor(self) -> DueCheckCursor:
        """The check's place in the list."""
        return DueCheckCursor(due_at=self.due_at, repository_id=self.repository_id)

    def to_json(self) -> dict[str, JSON]:
        """Return the check as JSON."""
        return {
            "repository_id": str(self.repository_id),
            "full_name": self.full_name,
            "clone_url": self.clone_url,
            "owner": self.owner,
            "schedule": self.schedule,
            "due_at": self.due_at.isoformat(),
            "is_due": self.is_due,
            "is_running": self.is_running,
            "analysis_status": str(self.analysis_status),
            "failures": self.failures,
            "refusals": self.refusals,
            "last_error": self.last_error,
            "last_analyzed": None if self.last_analyzed is None else self.last_analyzed.isoformat(),
        }
