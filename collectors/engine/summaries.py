"""Summaries: reports as plain, compact data whose texts are safe to show, on the way to the document of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self

from domain.metrics.report import MESSAGE_LIMIT, Finding, Report
from domain.text import JSON, one_line, printable

FUNCTION_LIMIT = 200
"""The longest name of a function, in characters."""

Row = Sequence[Any]
"""Line, rule, message and function of one finding."""

_SORT_KEY = itemgetter(0, 1, 2, 3)
"""Line, metric, rule, message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A report: `aggregate`, `per_file` and `gaps` as they were, `findings` by path, with texts shortened and safe."""

    aggregate: Mapping[str, JSON]
    per_file: Mapping[str, Mapping[str, JSON]]
    findings: Mapping[str, Sequence[Row]]
    gaps: Sequence[str]

    @classmethod
    def from_report(cls, report: Report) -> Self:
        """Summarize a report. Shortening texts takes most of the time, so this runs in the pool processes."""
        findings: dict[str, list[Row]] = {}
        for finding in report.findings:
            findings.setdefault(finding.path, []).append(_row(finding))
        return cls(aggregate=report.aggregate, per_file=report.per_file, findings=findings, gaps=report.gaps)

    def to_plain(self) -> list[Any]:
        """Return plain data for msgpack."""
        per_file = {path: dict(row) for path, row in self.per_file.items()}
        return [dict(self.aggregate), per_file, dict(self.findings), list(self.gaps)]

    @classmethod
    def from_plain(cls, plain: Sequence[Any], more_gaps: Sequence[str]) -> Self:
        """Return the summary that `to_plain` encoded, with gaps that the engine adds to the collector's own."""
        aggregate, per_file, findings, gaps = plain
        return cls(aggregate=aggregate, per_file=per_file, findings=findings, gaps=[*gaps, *more_gaps])


def _row(finding: Finding) -> Row:
    function = None if finding.function is None else one_line(finding.function, FUNCTION_LIMIT)
    return [finding.line, printable(finding.rule), one_line(finding.message, MESSAGE_LIMIT), function]


def list_findings(summaries: Mapping[str, Summary], limit: int) -> dict[str, JSON]:
    """Return the total number of findings, and the first `limit` by path, line, metric, rule and message."""
    total = sum(len(rows) for summary in summaries.values() for rows in summary.findings.values())
    items: list[JSON] = []
    for path in sorted({path for summary in summaries.values() for path in summary.findings}):
        if len(items) >= limit:
            break
        items += _of_file(path, summaries)
    return {"total": total, "items": items[:limit]}


def _of_file(path: str, summaries: Mapping[str, Summary]) -> Iterable[JSON]:
    rows = [
        (line, metric, rule, message, function)
        for metric, summary in summaries.items()
        for line, rule, message, function in summary.findings.get(path, ())
    ]
    rows.sort(key=_SORT_KEY)
    shown = printable(path)
    return [
        {"metric": metric, "rule": rule, "path": shown, "line": line, "function": function, "message": message}
        for line, metric, rule, message, function in rows
    ]
