"""A run as the exports read it: its findings checked value by value, whatever version of the worker wrote them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.findings.measured_run import iter_files
from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.metrics.declaration import MetricDeclaration
from domain.text import JSON, one_line, printable_line

MESSAGE_LIMIT = 1_000
NAME_LIMIT = 255
MAX_POSITION = 2**31 - 1
"""The greatest line or column: readers keep them in 32 bits."""

_NO_SEVERITY = FindingSeverity.LOW
"""The severity of a finding in a run from before findings had one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFinding:
    """A finding with printable texts, none of them empty. None is what is not known.

    `line`, `column`, `end_line` and `end_column` are as in `domain.metrics.report.Finding`, from 1 to MAX_POSITION; an
    end is never before its beginning. `severity_before` is the severity in the baseline of one that is updated.
    """

    metric: str
    rule: str
    severity: FindingSeverity
    path: str
    message: str
    line: int | None
    column: int | None
    end_line: int | None
    end_column: int | None
    function: str | None
    role: str
    line_hash: str | None
    location_hash: str | None
    fingerprint: str | None
    state: str | None
    severity_before: FindingSeverity | None
    first_seen_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRun:
    """The parts of a result's document, and what the collectors declare of its metrics.

    `findings` are in the document's order; `fixed` those of the baseline that are gone. `unlisted` is the number of
    findings that the stored list left out, `unreadable` that of items that are no findings.
    """

    document: Mapping[str, JSON]
    declarations: Sequence[MetricDeclaration]
    findings: Sequence[ExportedFinding]
    fixed: Sequence[ExportedFinding]
    unlisted: int
    unreadable: int

    def part(self, key: str) -> Mapping[str, Any]:
        """Return an object of the document by its key; empty where the run has none."""
        value = self.document.get(key)
        return value if isinstance(value, Mapping) else {}

    def state_of(self, metric: str) -> str:
        """Return the state of a metric's collector; `ok` where an older run does not say."""
        return str(self._collectors.get(metric, "ok"))

    @property
    def _collectors(self) -> Mapping[str, Any]:
        states = self.part("completeness").get("collectors")
        return states if isinstance(states, Mapping) else {}

    @property
    def files(self) -> Iterator[Mapping[str, JSON]]:
        """The file nodes of the file tree, in the tree's order."""
        return iter_files(self.part("file_tree"))


def read_run(document: Mapping[str, JSON], declarations: Sequence[MetricDeclaration]) -> ExportedRun:
    """Read the document of a result, as `worker.client.run_to_json` makes it."""
    roles = {
        str(node.get("path")): str(node.get("role") or Role.SOURCE) for node in iter_files(document.get("file_tree"))
    }
    items = _items(document.get("findings"))
    findings = [found for item in items if (found := _finding(item, roles)) is not None]
    comparison = document.get("comparison")
    gone = _items(comparison.get("fixed")) if isinstance(comparison, Mapping) else []
    total = document["findings"].get("total") if isinstance(document.get("findings"), Mapping) else None
    return ExportedRun(
        document=document,
        declarations=declarations,
        findings=findings,
        fixed=[found for item in gone if (found := _finding(item, roles)) is not None],
        unlisted=max(0, total - len(items)) if isinstance(total, int) else 0,
        unreadable=len(items) - len(findings),
    )


def _items(listed: JSON) -> list[JSON]:
    items = listed.get("items") if isinstance(listed, Mapping) else None
    return items if isinstance(items, list) else []


def _finding(item: JSON, roles: Mapping[str, str]) -> ExportedFinding | None:
    """Return the finding; None for an item without a path."""
    if not isinstance(item, Mapping) or not isinstance(item.get("path"), str) or not item["path"]:
        return None
    line, end_line = _position(item.get("line")), _position(item.get("end_line"))
    column, end_column = _position(item.get("column")), _position(item.get("end_column"))
    if line is None or (end_line is not None and end_line < line):
        end_line = end_column = None
    if end_column is not None and (end_line is None or (end_line == line and end_column < (column or 1))):
        end_column = None
    rule = _text(item.get("rule"), NAME_LIMIT) or "unknown"
    return ExportedFinding(
        metric=_text(item.get("metric"), NAME_LIMIT) or "unknown",
        rule=rule,
        severity=_severity(item.get("severity")),
        path=printable_line(item["path"]),
        message=_text(item.get("message"), MESSAGE_LIMIT) or rule,
        line=line,
        column=None if line is None else column,
        end_line=end_line,
        end_column=end_column,
        function=_text(item.get("function"), MESSAGE_LIMIT),
        role=roles.get(item["path"], str(Role.SOURCE)),
        line_hash=_text(item.get("line_hash"), NAME_LIMIT),
        location_hash=_text(item.get("location_hash"), NAME_LIMIT),
        fingerprint=_text(item.get("fingerprint"), NAME_LIMIT),
        state=_text(item.get("state"), NAME_LIMIT),
        severity_before=_severity(item["severity_before"]) if item.get("severity_before") is not None else None,
        first_seen_at=_text(item.get("first_seen_at"), NAME_LIMIT),
    )


def _position(value: JSON) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_POSITION else None


def _text(value: JSON, limit: int) -> str | None:
    return (one_line(value, limit) or None) if isinstance(value, str) else None


def _severity(value: JSON) -> FindingSeverity:
    try:
        return FindingSeverity(value)
    except ValueError:
        return _NO_SEVERITY
