"""Put the collectors' outcomes together into the one document of a run."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collectors.contract import FileCollector, TreeCollector, is_by_file
from collectors.engine.steps import UnitResult
from collectors.engine.summaries import Summary, listed
from collectors.source.source_tree import SourceTree
from domain.metrics.file_tree import FileNumbers, build_file_tree
from domain.metrics.report import ERRORS_LIMIT, FINDINGS_LIMIT, SKIPPED_LIMIT, Analysis, Failed, Ok
from domain.sources import FetchedSource
from domain.text import JSON, one_line, safe_json

AnyCollector = FileCollector | TreeCollector
Outcome = Ok[Summary] | Failed
BASE = ""


@dataclass(slots=True)
class Surveyed:
    """Everything that the map phase answered, by collector and path; the path `""` is the tree as a whole."""

    paths: Sequence[str]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    """When each collector answered last, by the monotonic clock."""

    def add(self, path: str, result: UnitResult) -> None:
        """Keep one unit's answers."""
        for name, value in result.values.items():
            if value is not None or path == BASE:  # no syntax: no facts for those who need it
                self.facts.setdefault(name, {})[path] = value
        for name, reason in result.failures.items():
            self.failures.setdefault(name, {})[path] = reason
        for name, spent in result.cpu_ms.items():
            self.cpu_ms[name] = self.cpu_ms.get(name, 0.0) + spent

    @property
    def sloc(self) -> dict[str, int | None]:
        """Source lines by path, in sorted order; None for a file that does not parse or was lost."""
        base = self.facts.get(BASE, {})
        return {path: base[path][1] if path in base else None for path in self.paths}

    def parse_error(self, path: str) -> str | None:
        """Why the file has no syntax tree, in one line."""
        lost = self.failures.get(BASE, {}).get(path)
        if lost is not None:
            return lost
        facts = self.facts.get(BASE, {}).get(path)
        return facts[0] if facts else None

    def facts_of(self, collector: AnyCollector) -> Any:
        """What `summarize` wants: the tree's facts, or those of each file in sorted order."""
        facts = self.facts.get(collector.name, {})
        if not is_by_file(collector):
            return facts[BASE]
        return {path: facts[path] for path in (BASE, *self.paths) if path in facts}

    def failure_of(self, collector: AnyCollector) -> str | None:
        """Why there is nothing honest to summarize: the tree was lost, every file was, or time ran out."""
        failures = self.failures.get(collector.name, {})
        if BASE in failures:
            return failures[BASE]
        out_of_time = next((reason for reason in failures.values() if reason.startswith("out of time")), None)
        if out_of_time is not None:
            return out_of_time
        if failures and not self.facts.get(collector.name):
            return next(iter(failures.values()))
        return None

    def gaps_of(self, collector: AnyCollector) -> list[str]:
        """One line for each file that this collector lost, files that nobody could read left out."""
        unreadable = self.failures.get(BASE, {})
        failures = self.failures.get(collector.name, {})
        return [
            f"{path}: {collector.name} skipped: {reason}"
            for path, reason in sorted(failures.items())
            if path != BASE and path not in unreadable
        ]


def assemble(
    tree: SourceTree,
    fetched: FetchedSource,
    collectors: Sequence[AnyCollector],
    surveyed: Surveyed,
    outcomes: Mapping[str, Outcome],
    timings_ms: Mapping[str, int],
) -> Analysis:
    """The document of the run, safe for JSONB, every list within its limit."""
    reports = {name: outcome.value for name, outcome in outcomes.items() if isinstance(outcome, Ok)}
    metrics = {collector.name: _aggregate(collector, reports.get(collector.name)) for collector in collectors}
    return Analysis(
        metrics=safe_json(metrics),
        file_tree=safe_json(build_file_tree(_numbers(tree, surveyed, reports))),
        findings=listed(reports, FINDINGS_LIMIT),
        errors=_errors(surveyed, outcomes),
        completeness=safe_json(_completeness(fetched, surveyed, outcomes)),
        tool_versions=tool_versions(collectors),
        timings_ms=timings_ms,
    )


def tool_versions(collectors: Iterable[AnyCollector]) -> dict[str, str]:
    """Each tool and Python itself, to the version that made the numbers."""
    tools = {collector.tool: collector.version for collector in collectors}
    return {"python": platform.python_version(), **dict(sorted(tools.items()))}


def _aggregate(collector: AnyCollector, report: Summary | None) -> dict[str, JSON]:
    return {key: None if report is None else report.aggregate[key] for key in collector.fields}


def _numbers(tree: SourceTree, surveyed: Surveyed, reports: Mapping[str, Summary]) -> dict[str, FileNumbers]:
    sloc = surveyed.sloc
    return {
        entry.path: FileNumbers(
            path=entry.path,
            size=entry.size,
            sloc=sloc[entry.path],
            parse_error=surveyed.parse_error(entry.path),
            numbers={
                name: report.per_file[entry.path] for name, report in reports.items() if entry.path in report.per_file
            },
        )
        for entry in tree.entries
    }


def _errors(surveyed: Surveyed, outcomes: Mapping[str, Outcome]) -> list[str]:
    lines = [
        f"{name} collector failed: {outcome.reason}"
        for name, outcome in sorted(outcomes.items())
        if isinstance(outcome, Failed)
    ]
    unreadable = surveyed.failures.get(BASE, {})
    for path in surveyed.paths:
        error = surveyed.parse_error(path)
        if error is not None:
            what = "not analysed" if path in unreadable else "does not parse"
            lines.append(f"{path}: {what}: {error}")
    for _, outcome in sorted(outcomes.items()):
        if isinstance(outcome, Ok):
            lines.extend(outcome.value.gaps)
    left_out = len(lines) - ERRORS_LIMIT
    kept = [one_line(line) for line in lines[:ERRORS_LIMIT]]
    return [*kept, f"and {left_out} more"] if left_out > 0 else kept


def _completeness(fetched: FetchedSource, surveyed: Surveyed, outcomes: Mapping[str, Outcome]) -> dict[str, JSON]:
    words = {
        name: "failed" if isinstance(outcome, Failed) else "partial" if outcome.value.gaps else "ok"
        for name, outcome in sorted(outcomes.items())
    }
    return {
        "files": len(surveyed.paths),
        "analyzed": sum(surveyed.parse_error(path) is None for path in surveyed.paths),
        "skipped": [{"path": item.path, "reason": item.reason} for item in fetched.skipped[:SKIPPED_LIMIT]],
        "skipped_total": fetched.skipped_total,
        "collectors": words,
    }
