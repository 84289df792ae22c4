"""When a file's number is `low`, `medium` or `high`. Densities are per 100 source lines (sloc)."""

from enum import StrEnum


class Severity(StrEnum):
    """How much a number should worry its reader."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


def _rising(value: float, low: float, medium: float) -> Severity:
    if value <= low:
        return Severity.LOW
    return Severity.MEDIUM if value <= medium else Severity.HIGH


def _falling(value: float, low: float, medium: float) -> Severity:
    if value >= low:
        return Severity.LOW
    return Severity.MEDIUM if value >= medium else Severity.HIGH


def density(count: int, sloc: int) -> float:
    """How many per 100 source lines; 0 where a file has none."""
    return 100 * count / sloc if sloc else 0.0


def complexity(value: float) -> Severity:
    """Of a file's most complex function (McCabe's number)."""
    return _rising(value, 5, 10)


def docs(coverage_pct: float) -> Severity:
    """Of the percentage of documented definitions."""
    return _falling(coverage_pct, 80, 50)


def maintainability(index: float) -> Severity:
    """Of radon's maintainability index, 0..100."""
    return _falling(index, 70, 20)


def security(high: int, medium: int) -> Severity:
    """Of the number of bandit's findings: any high is high, any medium medium."""
    if high:
        return Severity.HIGH
    return Severity.MEDIUM if medium else Severity.LOW


def churn(lines: int) -> Severity:
    """Of lines added and deleted over the whole history: <100, <=500, above."""
    if lines < 100:
        return Severity.LOW
    return Severity.MEDIUM if lines <= 500 else Severity.HIGH


def lint(count: int, sloc: int) -> Severity:
    """Of lint issues by density."""
    return _rising(density(count, sloc), 2, 8)


def dead_code(count: int, sloc: int) -> Severity:
    """Of unused symbols by density."""
    return _rising(density(count, sloc), 1, 4)


def duplication(lines: int, sloc: int) -> Severity:
    """Of duplicated lines by density."""
    return _rising(density(lines, sloc), 5, 20)
