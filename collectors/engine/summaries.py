"""Summaries: reports as plain, compact data whose texts are safe to show, on the way to the document of a run."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from collectors.source.source_lines import SourceLines
from domain.findings.identity import fingerprint
from domain.findings.severity import SEVERITIES
from domain.history.facts import HistoryFacts
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.report import MESSAGE_LIMIT, Finding, Report
from domain.text import JSON, one_line, printable

FUNCTION_LIMIT = 200
"""The longest name of a function, in characters."""

Row = Sequence[Any]
"""The values of one finding, as `_row` orders them."""

OnItems = Callable[[Sequence[JSON]], None]
"""Called with parts of the list of findings."""

_OPEN_FILES = 8
"""Files whose lines are kept to hash those of further findings; findings mostly come file by file."""

_ITEMS_OF_A_PART = 2_000

_RULE, _SEVERITY, _LINE, _COLUMN, _MESSAGE = 0, 1, 2, 3, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A report: `aggregate`, `per_file` and `gaps` as they were, `findings` by path, with texts shortened and safe.

    `by_role` holds the aggregates of the files of each role; None for a collector that has none.
    """

    aggregate: Mapping[str, JSON]
    by_role: Mapping[str, Mapping[str, JSON]] | None
    per_file: Mapping[str, Mapping[str, JSON]]
    findings: Mapping[str, Sequence[Row]]
    gaps: Sequence[str]
    history: HistoryFacts | str | None = None

    @classmethod
    def from_report(
        cls,
        report: Report,
        metric: MetricDeclaration,
        found: Iterable[Finding],
        by_role: Mapping[str, Mapping[str, JSON]] | None,
    ) -> Self:
        """Summarize a report with its findings. Shortening texts takes long, so this runs in the pool processes."""
        family = None if metric.finding_identity is None else metric.finding_identity.rule_family
        findings: dict[str, list[Row]] = {}
        for finding in found:
            findings.setdefault(finding.path, []).append(_row(finding, family))
        return cls(
            aggregate=report.aggregate,
            by_role=by_role,
            per_file=report.per_file,
            findings=findings,
            gaps=report.gaps,
            history=report.history,
        )

    def to_plain(self) -> list[Any]:
        """Return plain data for msgpack."""
        per_file = {path: dict(row) for path, row in self.per_file.items()}
        by_role = None if self.by_role is None else {role: dict(row) for role, row in self.by_role.items()}
        history = self.history.to_plain() if isinstance(self.history, HistoryFacts) else self.history
        return [dict(self.aggregate), by_role, per_file, dict(self.findings), list(self.gaps), history]

    @classmethod
    def from_plain(cls, plain: Sequence[Any], more_gaps: Sequence[str]) -> Self:
        """Return the summary that `to_plain` encoded, with gaps that the engine adds to the collector's own."""
        aggregate, by_role, per_file, findings, gaps, history = plain
        return cls(
            aggregate=aggregate,
            by_role=by_role,
            per_file=per_file,
            findings=findings,
            gaps=[*gaps, *more_gaps],
            history=HistoryFacts.from_plain(history) if isinstance(history, dict) else history,
        )


def with_location_hashes(
    findings: Iterable[Finding], metric: MetricDeclaration, locations: Mapping[str, Path]
) -> Iterable[Finding]:
    """Yield the findings; those that lack the hash of their line for code scanning get it from the file.

    These are findings whose line follows from all files together, so that it could not be hashed with the file's facts.
    """
    alerts = metric.finding_identity is not None and metric.finding_identity.alerts
    lines: dict[str, SourceLines | None] = {}
    for finding in findings:
        if not alerts or finding.location_hash is not None:
            yield finding
            continue
        if finding.path not in lines:
            if len(lines) == _OPEN_FILES:
                lines.clear()
            lines[finding.path] = _read_lines(finding.path, locations)
        source = lines[finding.path]
        yield finding if source is None else finding._replace(location_hash=source.location_hash(finding.line))


def _read_lines(path: str, locations: Mapping[str, Path]) -> SourceLines | None:
    with suppress(KeyError, OSError):
        return SourceLines(locations[path].read_bytes())
    return None


def _row(finding: Finding, family: str | None) -> Row:
    (metric, rule, severity, _, line, message, identity, column, end_line, end_column, function, line_hash,
     location_hash) = finding  # fmt: skip
    texts = f"{rule}{message}{identity}{function or ''}{line_hash or ''}{location_hash or ''}"
    # True for nearly all findings, which then need no further look at each text but at its length and ends.
    if texts.isascii() and texts.isprintable() and "  " not in texts:
        message, identity = _cut(message, MESSAGE_LIMIT), _cut(identity, MESSAGE_LIMIT)
        function = None if function is None else _cut(function, FUNCTION_LIMIT)
    else:
        message, identity, rule = one_line(message, MESSAGE_LIMIT), one_line(identity, MESSAGE_LIMIT), printable(rule)
        function = None if function is None else one_line(function, FUNCTION_LIMIT)
        line_hash, location_hash = _hash(line_hash), _hash(location_hash)
    return [
        rule,
        str(severity),
        line,
        column,
        end_line,
        end_column,
        function,
        message,
        identity,
        line_hash,
        location_hash,
        fingerprint(metric, family or rule, identity, function),
    ]


def _cut(text: str, limit: int) -> str:
    """Return what `one_line` does, of a text that is printable ASCII without two spaces in a row."""
    line = text.strip(" ")
    return line if len(line) <= limit else one_line(line, limit)


def _hash(text: str | None) -> str | None:
    """Return the hash; facts from the cache may have another text in its place."""
    return None if text is None else printable(text)


def list_findings(summaries: Mapping[str, Summary], limit: int, on_items: OnItems | None = None) -> dict[str, JSON]:
    """Return `{total, items, cut}`: all findings, or the `limit` most severe, by path, line, metric, rule and message.

    `cut` says how many were left out, by metric and severity. Of the least severity that is listed, the first are. With
    `on_items` the items are passed to it in parts, and `items` is empty.
    """
    counts = Counter[str]()
    for rows_of_metric in (summary.findings.values() for summary in summaries.values()):
        counts.update(map(itemgetter(_SEVERITY), chain.from_iterable(rows_of_metric)))
    total = counts.total()
    quota = _quota(counts, limit)
    items: list[JSON] = []
    cut: dict[str, Counter[str]] = {}
    for path in sorted({path for summary in summaries.values() for path in summary.findings}):
        shown_path = printable(path)
        rows = _rows_of_file(path, summaries)
        if total > limit:
            rows = [(metric, row) for metric, row in rows if _takes(quota, cut, metric, row[_SEVERITY])]
        items += [_item(metric, shown_path, row) for metric, row in rows]
        if on_items is not None and len(items) >= _ITEMS_OF_A_PART:
            on_items(items)
            items = []
    if on_items is not None:
        on_items(items)
        items = []
    return {"total": total, "items": items, "cut": {metric: dict(cut[metric]) for metric in sorted(cut)}}


def _quota(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return how many findings of each severity are listed: the most severe first, up to the limit."""
    quota = {}
    for severity in reversed(SEVERITIES):
        quota[str(severity)] = min(counts.get(str(severity), 0), limit)
        limit -= quota[str(severity)]
    return quota


def _takes(quota: dict[str, int], cut: dict[str, Counter[str]], metric: str, severity: str) -> bool:
    """Return whether the quota has room for another finding of that severity, and count it there or as cut."""
    if quota[severity]:
        quota[severity] -= 1
        return True
    cut.setdefault(metric, Counter())[severity] += 1
    return False


def _rows_of_file(path: str, summaries: Mapping[str, Summary]) -> list[tuple[str, Row]]:
    rows = [(metric, row) for metric, summary in summaries.items() for row in summary.findings.get(path, ())]
    rows.sort(key=lambda each: (each[1][_LINE], each[0], each[1][_RULE], each[1][_MESSAGE], each[1][_COLUMN] or 0))
    return rows


def _item(metric: str, path: str, row: Row) -> JSON:
    """Return a finding by key. Written out, as a run has tens of thousands."""
    rule, severity, line, column, end_line, end_column, function, message, identity, line_hash, location_hash, key = row
    return {
        "metric": metric,
        "rule": rule,
        "severity": severity,
        "path": path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "function": function,
        "message": message,
        "identity": identity,
        "line_hash": line_hash,
        "location_hash": location_hash,
        "fingerprint": key,
    }
