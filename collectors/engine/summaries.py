"""A collector's report on its way to the document of a run: plain, compact, and harmless to show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self

from domain.metrics.report import Finding, Report
from domain.text import JSON, one_line, printable

FUNCTION_LIMIT = 200
MESSAGE_LIMIT = 300

Row = Sequence[Any]
"""Line, rule, message, function of one finding."""

_IN_ORDER = itemgetter(0, 1, 2, 3)
"""Line, metric, rule, message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`aggregate`, `per_file` and `gaps` as the report has them; `findings` by path, texts already cut and harmless."""

    aggregate: Mapping[str, JSON]
    per_file: Mapping[str, Mapping[str, JSON]]
    findings: Mapping[str, Sequence[Row]]
    gaps: Sequence[str]

    @classmethod
    def of(cls, report: Report) -> Self:
        """Of a whole report. This is where the time goes, so that it is done where many can do it at once."""
        findings: dict[str, list[Row]] = {}
        for finding in report.findings:
            findings.setdefault(finding.path, []).append(_row(finding))
        return cls(aggregate=report.aggregate, per_file=report.per_file, findings=findings, gaps=report.gaps)

    def plain(self) -> list[Any]:
        """For msgpack."""
        per_file = {path: dict(row) for path, row in self.per_file.items()}
        return [dict(self.aggregate), per_file, dict(self.findings), list(self.gaps)]

    @classmethod
    def from_plain(cls, plain: Sequence[Any], more_gaps: Sequence[str]) -> Self:
        """What `plain` gave, with gaps that the collector itself knows nothing of."""
        aggregate, per_file, findings, gaps = plain
        return cls(aggregate=aggregate, per_file=per_file, findings=findings, gaps=[*gaps, *more_gaps])


def _row(finding: Finding) -> Row:
    function = None if finding.function is None else one_line(finding.function, FUNCTION_LIMIT)
    return [finding.line, printable(finding.rule), one_line(finding.message, MESSAGE_LIMIT), function]


def listed(summaries: Mapping[str, Summary], limit: int) -> dict[str, JSON]:
    """The findings of all metrics, by path, line, metric, rule and message: their number, and the first of them."""
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
    rows.sort(key=_IN_ORDER)
    shown = printable(path)
    return [
        {"metric": metric, "rule": rule, "path": shown, "line": line, "function": function, "message": message}
        for line, metric, rule, message, function in rows
    ]
