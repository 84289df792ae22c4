"""The contract between a collector and everyone who reads its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Generic, TypeVar

from domain.text import JSON

T = TypeVar("T")

FINDINGS_LIMIT = 50_000
"""How many findings one run keeps; the total is always stated beside them."""

COLLECTORS = ("churn", "cyclomatic", "dead_code", "deps", "docs", "dupes", "lint", "mi", "security", "size")
"""Their names, for those who never meet the collectors themselves."""

ERRORS_LIMIT = 1_000
SKIPPED_LIMIT = 1_000
"""How many error lines and skipped files one run lists; a last line or the total says what was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing at one place that a tool complains of.

    `metric` is the collector's name, `rule` the tool's own identifier (`F401`, `B602`, `unused-function`), `line`
    counts from 1, `function` is the dotted name of the enclosing function or class (`None` at module level).
    """

    metric: str
    rule: str
    path: str
    line: int
    message: str
    function: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one collector says of one tree.

    `aggregate` holds exactly the collector's declared fields; `per_file` maps a path to that file's numbers; each
    of `gaps` is one line about something that could not be measured, and makes the collector `partial`.
    """

    aggregate: Mapping[str, JSON]
    per_file: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    gaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ok(Generic[T]):
    """It was done."""

    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It was tried and could not be done; the reason is one line."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file (or a directory that is left out by name) that no collector saw."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All that one run found, in the shapes that are written to `analysis_runs`.

    `timings_ms` maps to milliseconds: a stage (`collecting`) to its wall time, `collect.NAME` to a collector's CPU time
    in all processes, and `wall.NAME` to the time from the beginning of collecting to that collector's last answer.
    """

    metrics: Mapping[str, JSON]
    file_tree: Mapping[str, JSON]
    findings: Mapping[str, JSON]
    errors: Sequence[str]
    completeness: Mapping[str, JSON]
    tool_versions: Mapping[str, str]
    timings_ms: Mapping[str, int]

    def document(self) -> dict[str, JSON]:
        """The fields by name; what they hold is JSON already, and is not copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
