"""Ends of jobs by minute and outcome: how fast the fleet works, and how much of it fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.text import JSON

MINUTES = 60
"""Whole minutes that are looked at, beside the present one."""

RECENT_MINUTES = 5


class Outcome(StrEnum):
    """How a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteOfEnds:
    """The ends of one minute, in UTC. Outcomes without any may be left out."""

    began_at: datetime
    counts: Mapping[Outcome, int]

    @property
    def jobs(self) -> int:
        """The ends of all outcomes."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of MINUTES whole minutes and of the present one, the oldest first."""

    minutes: Sequence[MinuteOfEnds]

    def last_hour(self) -> Mapping[Outcome, int]:
        """Return the ends of all these minutes by outcome."""
        return {outcome: sum(each.counts.get(outcome, 0) for each in self.minutes) for outcome in Outcome}

    def jobs_a_minute(self, minutes: int) -> float:
        """Return the mean of the last whole minutes; the present one has not ended."""
        whole = self.minutes[-minutes - 1 : -1]
        return sum(each.jobs for each in whole) / len(whole) if whole else 0.0

    def to_json(self) -> dict[str, JSON]:
        """Return the ends as JSON."""
        return {
            "jobs_a_minute": self.jobs_a_minute(RECENT_MINUTES),
            "last_hour": {str(outcome): count for outcome, count in self.last_hour().items()},
            "minutes": [
                {
                    "began_at": each.began_at.isoformat(),
                    **{str(outcome): each.counts.get(outcome, 0) for outcome in Outcome},
                }
                for each in self.minutes
            ],
        }
