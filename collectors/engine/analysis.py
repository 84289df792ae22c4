"""Analysis of a tree: runs every collector over it. No collector is known by name here."""

import os
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from collectors.contract import (
    TREE_PATH,
    AnyCollector,
    Collector,
    FileCollector,
    is_file_collector,
    supports_file_answers,
    supports_package_names,
    supports_tree_facts,
)
from collectors.engine.discovery import discover
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.engine.package_reports import PackageReporter
from collectors.engine.process_pool import ProcessPool
from collectors.engine.report_assembly import CollectedFacts, Outcome, Summaries, assemble
from collectors.engine.steps import FILE_STEP, Step, Unit, UnitResult, pack, run_in_this_process
from collectors.engine.tree_collection import Answers, cache_outcome, tree_steps
from collectors.source.source_tree import FileEntry, SourceFile, SourceTree, UnparsableError
from domain.findings.identity import content_digest
from domain.findings.roles import is_marked_as_generated
from domain.metrics.report import Analysis
from domain.sources import FetchedSource

FILE_DEADLINE_SECONDS = 30.0
CPU_BUDGET_SHARE = 1.0
"""The CPU time that a collector may use in all processes, as a share of its time limit for a tree."""

BYTES_PER_PROCESS = 256 * 1024
"""Source bytes queued for a pool process in advance, and the least that justifies another process."""

TINY_FILES = 32
TINY_BYTES = 64 * 1024
"""The limits of a tree for which another process would take more time than it saves."""

Emit = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`processes` is how many may work at once; `collector_timeout` is the seconds that a collector may take.

    With 0 processes a tiny tree is analysed in this process, which a crash then ends: the caller must be able to
    repeat the analysis with 1 process. `on_packages` is called during the analysis, with the names of packages that
    the tree imports; each is passed once. `answers` of tools that are known already are not asked for again.
    """

    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    collector_timeout: float = 120.0
    on_packages: Callable[[Sequence[str]], None] = lambda _names: None
    answers: Answers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileUnit:
    """The work on one file: it is read and parsed once, then inspected by each collector."""

    entry: FileEntry
    collectors: Sequence[FileCollector]
    timeout: float

    @property
    def weight(self) -> float:
        """The share of a process's queue."""
        return (self.entry.size + 512) / BYTES_PER_PROCESS

    @property
    def deadline(self) -> float:
        """Seconds that a collector may spend on this file."""
        return min(self.timeout, FILE_DEADLINE_SECONDS)

    def steps(self) -> Iterable[Step]:
        """Yield the step that reads and parses, then one for each collector."""
        opened: list[SourceFile] = []

        def file() -> SourceFile:
            if not opened:
                opened.append(SourceFile(self.entry.path, self.entry.location.read_bytes()))
            return opened[0]

        yield FILE_STEP, lambda: _parse(file())
        for collector in self.collectors:
            yield collector.metric.name, partial(_inspect, collector, file)


def _parse(file: SourceFile) -> list[Any]:
    """Return what `FILE_STEP` says. Lines can be counted in many files that do not parse."""
    of_bytes = [content_digest(file.data), is_marked_as_generated(file.data)]
    try:
        return [file.parse_error, file.line_counts.sloc, *of_bytes]
    except UnparsableError as error:
        return [file.parse_error or str(error), None, *of_bytes]


def _inspect(collector: FileCollector, open_file: Callable[[], SourceFile]) -> Any:
    file = open_file()
    try:
        if collector.needs_syntax and file.parse_error is not None:
            return None
        return collector.inspect(file)
    except UnparsableError:
        return None


@dataclass(frozen=True, slots=True)
class SingleStep:
    """A unit of one step: collection from the whole tree, or a summary."""

    name: str
    run: Callable[[], Any]
    deadline: float
    weight: float

    def steps(self) -> Iterable[Step]:
        """Yield the step."""
        yield self.name, self.run


def analyse(
    tree: SourceTree,
    fetched: FetchedSource,
    options: Options,
    emit: Emit = lambda _stage, _share: None,
    cache: FileFactsCache | None = None,
) -> Analysis:
    """Run the collectors that are requested over the tree. Files whose facts are in the cache are not inspected again.

    `emit` is called with the stage (`collecting`, `summarizing`) and the share of it that is done, 0..1. An error of a
    file or a collector is never raised; it is listed in the result's `errors` and `completeness`.
    """
    started = time.monotonic()
    if options.processes == 0 and not _is_tiny(tree):
        options = replace(options, processes=1)
    requested = [collector for collector in discover() if tree.selection.requests(collector.metric.name)]
    collected = CollectedFacts(paths=tuple(sorted(entry.path for entry in tree.entries)))
    summaries = Summaries(collected, {entry.path: entry.location for entry in tree.entries})
    _collect(tree, requested, summaries, options, emit, cache)
    collecting_ended = time.monotonic()
    emit("summarizing", 0.0)
    outcomes = _summarize(tree, requested, summaries, options)
    names = sorted(collector.metric.name for collector in requested)
    timings = {
        **{f"collect.{name}": round(collected.cpu_ms[name]) for name in names if name in collected.cpu_ms},
        **{f"wall.{name}": round((collected.answered_at.get(name, started) - started) * 1000) for name in names},
        "collecting": round((collecting_ended - started) * 1000),
        "summarizing": round((time.monotonic() - collecting_ended) * 1000),
    }
    return assemble(tree, fetched, discover(), collected, outcomes, timings)


def _collect(
    tree: SourceTree,
    collectors: Sequence[AnyCollector],
    summaries: Summaries,
    options: Options,
    emit: Emit,
    cache: FileFactsCache | None,
) -> None:
    """Map: inspect every file that is not cached, and run the collectors that need the whole tree beside that.

    If the facts of all files are cached, collectors that need nothing else are summarized beside that as well.
    """
    collected = summaries.collected
    by_file = [collector for collector in collectors if is_file_collector(collector)]
    steps = tree_steps(tree, collectors, cache, options.answers)
    of_tree = sorted(steps, key=lambda step: not supports_package_names(step[0]))
    missing = _add_cached(tree, by_file, collected, cache)
    packages = PackageReporter(collected, len(missing), options.on_packages)
    timeout = options.collector_timeout
    tree_units = [SingleStep(collector.metric.name, run, timeout, weight=1.0) for collector, run in of_tree]
    largest_first = sorted(missing, key=lambda entry: -entry.size)
    complete = [] if cache is None or missing else _most_facts_first(tree, by_file, collected)
    early = [_summary_unit(collector, summaries, options) for collector in complete]
    units: list[Unit] = [*tree_units, *early, *(FileUnit(entry, by_file, timeout) for entry in largest_first)]
    done = 0

    def on_result(index: int, result: UnitResult) -> None:
        nonlocal done
        done += 1
        if index >= len(tree_units) and complete:
            summaries.add(complete[index - len(tree_units)], result)
            return
        collected.answered_at.update(dict.fromkeys(result.cpu_ms, time.monotonic()))
        if index < len(tree_units):
            collector = of_tree[index][0]
            _cache_tree_facts(collector, tree, result, cache)
            collected.add(TREE_PATH, result)
            if collector.metric.name in result.values:
                packages.add_tree(collector, result.values[collector.metric.name])
        else:
            entry = largest_first[index - len(tree_units)]
            collected.add(entry.path, result)
            packages.add_file(entry.path, result.values)
            if cache is not None:
                cache.put(entry, result)
        emit("collecting", done / len(units))

    tools = {index for index, (collector, _) in enumerate(of_tree) if supports_file_answers(collector)}
    _run(tree, units, _process_count(options, len(tree_units), missing), options, on_result, tools)


def _most_facts_first(
    tree: SourceTree, collectors: Sequence[FileCollector], collected: CollectedFacts
) -> list[FileCollector]:
    """Return the collectors of files alone, those with the most facts of the largest file first: they take longest."""
    largest = max(tree.entries, key=lambda entry: entry.size).path if tree.entries else ""

    def size(collector: FileCollector) -> int:
        return len(pack(collected.facts.get(collector.metric.name, {}).get(largest)))

    return sorted((each for each in collectors if not supports_tree_facts(each)), key=size, reverse=True)


def _cache_tree_facts(collector: Collector, tree: SourceTree, result: UnitResult, cache: FileFactsCache | None) -> None:
    """Replace each value of a step over the whole tree by its facts alone, and cache what came with them."""
    for name, (facts, to_cache) in result.values.items():
        result.values[name] = facts
        cache_outcome(collector, tree, to_cache, cache)


def _process_count(options: Options, tree_units: int, files: Sequence[FileEntry]) -> int:
    """Return how many processes to use; 0 stands for this one.

    The units of the whole tree come first, and each fills the queue of one process. There are at least two processes,
    but not more than processors: the slowest tool (git, on one core) would then share its core, and end last.
    """
    size = sum(entry.size for entry in files)
    return options.processes and max(2, min(options.processes, tree_units + round(size / BYTES_PER_PROCESS)))


def _add_cached(
    tree: SourceTree, collectors: Sequence[FileCollector], collected: CollectedFacts, cache: FileFactsCache | None
) -> Sequence[FileEntry]:
    """Add the facts that are cached. Return the other files."""
    if cache is None:
        return tree.entries
    missing = []
    for entry in tree.entries:
        facts = cache.get(entry, collectors)
        if facts is None:
            missing.append(entry)
        else:
            collected.add(entry.path, UnitResult(values=dict(facts)))
    return missing


def _run(
    tree: SourceTree,
    units: Sequence[Unit],
    processes: int,
    options: Options,
    on_result: Callable[[int, UnitResult], None],
    tools: Container[int] = (),
) -> None:
    """Run the units in that many pool processes; with 0, in this process. `tools` are the positions of native tools."""
    if processes == 0:
        run_in_this_process(units, on_result, beside=tools)
    else:
        budget_ms = options.collector_timeout * CPU_BUDGET_SHARE * 1000
        ProcessPool(
            units,
            processes=processes,
            process_control=tree.process_control,
            budget_ms=budget_ms,
            on_result=on_result,
        ).run()


def _is_tiny(tree: SourceTree) -> bool:
    """Return whether the tree is within the limits; never with a history, since git may take long over any of them."""
    return tree.history is None and len(tree.entries) <= TINY_FILES and sum(e.size for e in tree.entries) <= TINY_BYTES


def _summarize(
    tree: SourceTree, collectors: Sequence[AnyCollector], summaries: Summaries, options: Options
) -> Mapping[str, Outcome]:
    """Reduce: return each collector's summary, or why it failed."""
    ready = [collector for collector in collectors if summaries.is_ready(collector)]
    units = [_summary_unit(collector, summaries, options) for collector in ready]
    processes = options.processes if summaries.files > 1 else min(options.processes, 1)
    _run(tree, units, processes, options, lambda index, result: summaries.add(ready[index], result))
    return summaries.outcomes


def _summary_unit(collector: AnyCollector, summaries: Summaries, options: Options) -> SingleStep:
    return SingleStep(collector.metric.name, summaries.step(collector), options.collector_timeout, weight=1.0)
