"""Severities of a file's numbers, and the two kinds of thresholds that most metrics need."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How serious a number is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Rising:
    """Thresholds of a number of which more is worse: low up to `low`, medium up to `medium`, high above."""

    low: float
    medium: float

    def __call__(self, value: float) -> Severity:
        """Return the severity of the value."""
        if value <= self.low:
            return Severity.LOW
        return Severity.MEDIUM if value <= self.medium else Severity.HIGH


@dataclass(frozen=True, slots=True)
class Falling:
    """Thresholds of a number of which less is worse: low down to `low`, medium down to `medium`, high below."""

    low: float
    medium: float

    def __call__(self, value: float) -> Severity:
        """Return the severity of the value."""
        if value >= self.low:
            return Severity.LOW
        return Severity.MEDIUM if value >= self.medium else Severity.HIGH


def density(count: float, sloc: int) -> float:
    """Return the count per 100 source lines (sloc); 0 for a file without source lines."""
    return 100 * count / sloc if sloc else 0.0
