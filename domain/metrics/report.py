"""Reports of the collectors, and the analysis that is made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Generic, NamedTuple, TypeVar

from domain.findings.severity import FindingSeverity
from domain.history.facts import HistoryFacts
from domain.text import JSON

T = TypeVar("T")

FINDINGS_LIMIT = 50_000
"""The most findings that one run keeps; their total is stated beside them."""

MESSAGE_LIMIT = 300
"""The longest message of a finding, in characters; a longer one ends in an ellipsis."""

ERRORS_LIMIT = 1_000
SKIPPED_LIMIT = 1_000
"""The most error lines and skipped files that one run lists; a last line or the total says what was left out."""


class Finding(NamedTuple):
    """One problem that a tool reports at one place. A tuple, because a run makes tens of thousands.

    `metric` is the metric's name, `rule` the tool's identifier (`F401`, `B602`, `unused-function`). Lines and columns
    count from 1, columns in code points; `end_column` is that after the last character. `column`, `end_line` and
    `end_column` are None where the tool gives none. `function` is the dotted name of the enclosing function or class
    (None at module level). `identity` says what the finding is about (see `FindingIdentity`), `line_hash` is that of
    `domain.findings.identity`, and `location_hash` that of `domain.findings.location_hash`; None for a metric of which
    code scanning makes no alerts.
    """

    metric: str
    rule: str
    severity: FindingSeverity
    path: str
    line: int
    message: str
    identity: str
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    function: str | None = None
    line_hash: str | None = None
    location_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one collector for one tree.

    `aggregate` has exactly the declared keys; `per_file` maps a path to that file's numbers; each of `gaps` is one line
    about something that could not be measured, and makes the collector `partial`. `history` holds the facts of the git
    history, or the reason why there are none; None from collectors that do not read it.
    """

    aggregate: Mapping[str, JSON]
    per_file: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    gaps: Sequence[str] = ()
    history: HistoryFacts | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ok(Generic[T]):
    """A success, with its value."""

    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A failure, with its reason in one line."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that was left out of the analysis, or a directory that is excluded by name."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The result of one run, in the form that is written to `analysis_runs`.

    `timings_ms` is in milliseconds: under a stage (`collecting`) its wall time, under `collect.NAME` a collector's CPU
    time in all processes, under `wall.NAME` the time from the start of collecting to that collector's last result.
    `history` is what `domain.history.document` makes.
    """

    metrics: Mapping[str, JSON]
    file_tree: Mapping[str, JSON]
    findings: Mapping[str, JSON]
    errors: Sequence[str]
    completeness: Mapping[str, JSON]
    tool_versions: Mapping[str, str]
    timings_ms: Mapping[str, int]
    history: Mapping[str, JSON]

    def document(self) -> dict[str, JSON]:
        """Return the fields by name. Their values are JSON already and are not copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
