"""Assembly of the collectors' outcomes into the document of a run."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from collectors.contract import (
    TREE_PATH,
    AnyCollector,
    Totals,
    is_file_collector,
    supports_imports,
    supports_subsets,
)
from collectors.engine.aggregates import BY_ROLE, aggregates, unmeasured_files
from collectors.engine.file_facts_cache import InvalidFactsError, plain
from collectors.engine.pool.steps import FILE_STEP, OUT_OF_TIME, Step, UnitResult
from collectors.engine.summaries import OnItems, Summary, list_findings, with_location_hashes
from collectors.engine.traits import traits_of
from collectors.history.run_history import run_history
from collectors.source.source_tree import SourceTree
from domain.findings.roles import Role, assign_roles
from domain.metrics.file_tree import MeasuredFile, build_file_tree
from domain.metrics.report import ERRORS_LIMIT, FINDINGS_LIMIT, SKIPPED_LIMIT, Analysis, Failed, Ok
from domain.selection import NOT_REQUESTED
from domain.sources import FetchedSource
from domain.text import JSON, one_line, safe_json

Outcome = Ok[Summary] | Failed


@dataclass
class CollectedFacts:
    """The results of the map phase, by step (`FILE_STEP` or a collector's name) and path (a file's or `TREE_PATH`)."""

    paths: Sequence[str]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    answered_at: dict[str, float] = field(default_factory=dict)
    """When each step's last result arrived, by the monotonic clock, in seconds."""

    def add(self, path: str, result: UnitResult) -> None:
        """Add the result of one unit."""
        for name, value in result.values.items():
            if value is not None or path == TREE_PATH:  # None: the file does not parse and the collector needs syntax
                self.facts.setdefault(name, {})[path] = value
        for name, reason in result.failures.items():
            self.failures.setdefault(name, {})[path] = reason
        for name, spent in result.cpu_ms.items():
            self.cpu_ms[name] = self.cpu_ms.get(name, 0.0) + spent

    @property
    def sloc(self) -> dict[str, int | None]:
        """Source lines by path, in sorted order; None for a file that cannot be tokenized or was not read."""
        facts = self.facts.get(FILE_STEP, {})
        return {path: facts[path][1] if path in facts else None for path in self.paths}

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """The role of each file. All files must have been added."""
        facts = self.facts.get(FILE_STEP, {})
        return assign_roles(self.paths, (path for path, values in facts.items() if values[3]))

    def digest(self, path: str) -> str | None:
        """Return the digest of the file's bytes; None for a file that could not be read."""
        facts = self.facts.get(FILE_STEP, {}).get(path)
        return facts[2] if facts else None

    def parse_error(self, path: str) -> str | None:
        """Return why the file has no syntax tree, in one line; None if it has one."""
        failure = self.failures.get(FILE_STEP, {}).get(path)
        if failure is not None:
            return failure
        facts = self.facts.get(FILE_STEP, {}).get(path)
        return facts[0] if facts else None

    def facts_of(self, collector: AnyCollector) -> Any:
        """Return the facts for `summarize`: those of the tree, or those of each file in sorted order.

        Raises InvalidFactsError if cached ones are invalid.
        """
        facts = self.facts.get(collector.metric.name, {})
        if not is_file_collector(collector):
            return facts[TREE_PATH]
        return {path: plain(facts[path]) for path in (TREE_PATH, *self.paths) if path in facts}

    def failure_of(self, collector: AnyCollector) -> str | None:
        """Return why the collector cannot be summarized: the tree, every file or the time budget failed; else None."""
        failures = self.failures.get(collector.metric.name, {})
        if TREE_PATH in failures:
            return failures[TREE_PATH]
        out_of_time = next((reason for reason in failures.values() if reason.startswith(OUT_OF_TIME)), None)
        if out_of_time is not None:
            return out_of_time
        if failures and not self.facts.get(collector.metric.name):
            return next(iter(failures.values()))
        return None

    def gaps_of(self, collector: AnyCollector) -> list[str]:
        """Return one line for each file on which this collector failed, except files that could not be read at all."""
        unreadable = self.failures.get(FILE_STEP, {})
        failures = self.failures.get(collector.metric.name, {})
        return [
            f"{path}: {collector.metric.name} skipped: {reason}"
            for path, reason in sorted(failures.items())
            if path != TREE_PATH and path not in unreadable
        ]


class Summaries:
    """The summaries of collectors: which can be made, the step that makes one, and the outcomes so far, by name."""

    def __init__(self, collected: CollectedFacts, locations: Mapping[str, Path]) -> None:
        """`locations` says where each file can be read, by path."""
        self.collected = collected
        self._locations = locations
        self.outcomes: dict[str, Outcome] = {}

    def is_ready(self, collector: AnyCollector) -> bool:
        """Return whether the collector is yet to be summarized. If its facts are missing, record why it failed."""
        if collector.metric.name in self.outcomes:
            return False
        reason = self.collected.failure_of(collector)
        if reason is not None:
            self.outcomes[collector.metric.name] = Failed(reason=reason)
        return reason is None

    def step(self, collector: AnyCollector) -> Step:
        """Return the step that summarizes the collector's facts. It returns None if cached ones are invalid."""
        totals, roles = Totals(sloc=self.collected.sloc), self.collected.roles

        def summarize() -> Any:
            try:
                facts = self.collected.facts_of(collector)
            except InvalidFactsError:
                return None
            report = collector.summarize(facts, totals)
            findings = with_location_hashes(report.findings, collector.metric, self._locations)
            aggregate, by_role = aggregates(collector, report, facts, totals, roles)
            return Summary.from_report(
                replace(report, aggregate=aggregate), collector.metric, findings, by_role
            ).to_plain()

        return _summary_step(collector), summarize

    def add(self, collector: AnyCollector, result: UnitResult) -> None:
        """Record what the step returned, or why it failed. Raises InvalidFactsError if cached facts are invalid."""
        step = _summary_step(collector)
        if step in result.values:
            if result.values[step] is None:
                raise InvalidFactsError
            summary = Summary.from_plain(result.values[step], self.collected.gaps_of(collector))
            self.outcomes[collector.metric.name] = Ok(value=summary)
        else:
            self.outcomes[collector.metric.name] = Failed(reason=result.failures[step])


def _summary_step(collector: AnyCollector) -> str:
    """Return a name of its own, so that summarizing has a budget of time beside that of collecting."""
    return f"summary of {collector.metric.name}"


def assemble(
    tree: SourceTree,
    fetched: FetchedSource,
    collectors: Sequence[AnyCollector],
    collected: CollectedFacts,
    outcomes: Mapping[str, Outcome],
    timings_ms: Mapping[str, int],
    on_findings: OnItems | None = None,
) -> Analysis:
    """Return the document of the run: valid as JSONB, every list within its limit.

    `outcomes` are those of the collectors that were requested; the metrics of the others are null. `on_findings`
    receives the listed findings first, and the document then has none.
    """
    reports = {name: outcome.value for name, outcome in outcomes.items() if isinstance(outcome, Ok)}
    imports = {each.metric.name: collected.facts_of(each) for each in collectors if _has_imports(each, collected)}
    findings = list_findings(reports, FINDINGS_LIMIT, on_findings)
    declarations = [collector.metric for collector in collectors]
    metrics = {collector.metric.name: _aggregate(collector, reports) for collector in collectors}
    files = _measured_files(tree, collected, reports)
    found = next((report.history for report in reports.values() if report.history is not None), None)
    return Analysis(
        metrics=safe_json(metrics),
        file_tree=safe_json(build_file_tree(files, declarations)),
        findings={**findings, "metrics": _traits(collectors)},
        errors=_errors(collected, outcomes),
        completeness=safe_json(_completeness(fetched, collectors, collected, outcomes)),
        tool_versions=tool_versions(collectors),
        timings_ms=timings_ms,
        history=safe_json(
            run_history(
                found,
                collectors,
                files,
                collected.roles,
                imports,
                failed=_has_failed_tree(collectors, outcomes),
            )
        ),
    )


def _has_imports(collector: AnyCollector, collected: CollectedFacts) -> bool:
    """Return whether there are facts about which file imports which."""
    return supports_imports(collector) and collector.metric.name in collected.facts


def _has_failed_tree(collectors: Iterable[AnyCollector], outcomes: Mapping[str, Outcome]) -> bool:
    """Return whether a collector of the whole tree failed, as that of the history is."""
    of_tree = (collector.metric.name for collector in collectors if not is_file_collector(collector))
    return any(isinstance(outcomes.get(name), Failed) for name in of_tree)


def _traits(collectors: Iterable[AnyCollector]) -> dict[str, JSON]:
    return {name: traits.to_json() for name, traits in traits_of(collectors).items()}


def tool_versions(collectors: Iterable[AnyCollector]) -> dict[str, str]:
    """Return the version of each tool and of Python."""
    tools = {collector.metric.tool: collector.metric.version for collector in collectors}
    return {"python": platform.python_version(), **dict(sorted(tools.items()))}


def _aggregate(collector: AnyCollector, reports: Mapping[str, Summary]) -> dict[str, JSON]:
    metric = collector.metric
    report = reports.get(metric.name)
    values = metric.without_value() if report is None else {key: report.aggregate[key] for key in metric.keys}
    return {**values, BY_ROLE: None if report is None else report.by_role} if supports_subsets(collector) else values


def _measured_files(
    tree: SourceTree, collected: CollectedFacts, reports: Mapping[str, Summary]
) -> dict[str, MeasuredFile]:
    sloc = collected.sloc
    return {
        entry.path: MeasuredFile(
            path=entry.path,
            size=entry.size,
            sloc=sloc[entry.path],
            parse_error=collected.parse_error(entry.path),
            digest=collected.digest(entry.path),
            role=collected.roles[entry.path],
            numbers={
                name: report.per_file[entry.path] for name, report in reports.items() if entry.path in report.per_file
            },
        )
        for entry in tree.entries
    }


def _errors(collected: CollectedFacts, outcomes: Mapping[str, Outcome]) -> list[str]:
    lines = [
        f"{name} collector failed: {outcome.reason}"
        for name, outcome in sorted(outcomes.items())
        if isinstance(outcome, Failed)
    ]
    unreadable = collected.failures.get(FILE_STEP, {})
    for path in collected.paths:
        error = collected.parse_error(path)
        if error is not None:
            problem = "not analysed" if path in unreadable else "does not parse"
            lines.append(f"{path}: {problem}: {error}")
    for _, outcome in sorted(outcomes.items()):
        if isinstance(outcome, Ok):
            lines.extend(outcome.value.gaps)
    left_out = len(lines) - ERRORS_LIMIT
    kept = [one_line(line) for line in lines[:ERRORS_LIMIT]]
    return [*kept, f"and {left_out} more"] if left_out > 0 else kept


def _state(collector: AnyCollector, collected: CollectedFacts, outcome: Outcome | None) -> str:
    if outcome is None:
        return NOT_REQUESTED
    if isinstance(outcome, Failed):
        return "failed"
    with_facts = collected.facts.get(collector.metric.name, {})
    lacking = outcome.value.gaps or unmeasured_files(collector, outcome.value.per_file, with_facts, collected.paths)
    return "partial" if lacking else "ok"


def _completeness(
    fetched: FetchedSource,
    collectors: Iterable[AnyCollector],
    collected: CollectedFacts,
    outcomes: Mapping[str, Outcome],
) -> dict[str, JSON]:
    by_name = {collector.metric.name: collector for collector in collectors}
    states = {name: _state(by_name[name], collected, outcomes.get(name)) for name in sorted(by_name)}
    return {
        "files": len(collected.paths),
        "analyzed": sum(collected.parse_error(path) is None for path in collected.paths),
        "skipped": [{"path": item.path, "reason": item.reason} for item in fetched.skipped[:SKIPPED_LIMIT]],
        "skipped_total": fetched.skipped_total,
        "not_selected": fetched.not_selected,
        "collectors": states,
    }
