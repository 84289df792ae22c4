"""Severity of single findings, by one rule for each metric.

The severity of a file's numbers is a different thing: see `domain.metrics.severity`.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum


class FindingSeverity(StrEnum):
    """How serious a finding is."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Position from the least serious, which has 0."""
        return _RANKS[self]


SEVERITIES = tuple(FindingSeverity)
"""All severities, the least serious first."""

_RANKS = {severity: rank for rank, severity in enumerate(SEVERITIES)}

_MEDIUM_LINT = re.compile(r"invalid-syntax|E9|F5|F6|F7|F82|PLE")
"""The beginnings of ruff's rules that report code which cannot run, or does not do what it says."""

_LOW_COMPLEXITY, _MEDIUM_COMPLEXITY = 20, 30
_LOW_DUPLICATE_LINES, _MEDIUM_DUPLICATE_LINES = 20, 100
UNREACHABLE_CODE = "unreachable-code"
SYNTAX_ERROR = "invalid-syntax"
"""Rules with a meaning of their own: that of dead code which is no definition, and that of lint for syntax errors."""


def lint_severity(rule: str) -> FindingSeverity:
    """Return medium for syntax errors, `E9`, `F5xx`, `F6xx`, `F7xx`, `F82x` and `PLE`; low for any other rule."""
    return FindingSeverity.MEDIUM if _MEDIUM_LINT.match(rule) else FindingSeverity.LOW


def complexity_severity(complexity: int) -> FindingSeverity:
    """Return low up to McCabe's number 20, medium up to 30, high above."""
    if complexity <= _LOW_COMPLEXITY:
        return FindingSeverity.LOW
    return FindingSeverity.MEDIUM if complexity <= _MEDIUM_COMPLEXITY else FindingSeverity.HIGH


def dead_code_severity(rule: str) -> FindingSeverity:
    """Return medium for unreachable code, low for an unused definition."""
    return FindingSeverity.MEDIUM if rule == UNREACHABLE_CODE else FindingSeverity.LOW


def duplication_severity(lines: int) -> FindingSeverity:
    """Return low for a block of fewer than 20 lines, medium for fewer than 100, high for more."""
    if lines < _LOW_DUPLICATE_LINES:
        return FindingSeverity.LOW
    return FindingSeverity.MEDIUM if lines < _MEDIUM_DUPLICATE_LINES else FindingSeverity.HIGH


def security_severity(level: str) -> FindingSeverity:
    """Return the severity that bandit gives."""
    return FindingSeverity(level)


def docs_severity() -> FindingSeverity:
    """Return info."""
    return FindingSeverity.INFO


SEVERITY_RULES: Mapping[str, Callable[..., FindingSeverity]] = {
    "cyclomatic": complexity_severity,
    "dead_code": dead_code_severity,
    "docs": docs_severity,
    "dupes": duplication_severity,
    "lint": lint_severity,
    "security": security_severity,
}
"""The rule of each metric that has findings."""
