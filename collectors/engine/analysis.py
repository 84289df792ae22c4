"""Analysis of a tree: runs every collector over it. No collector is known by name here."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from collectors.contract import (
    TREE_PATH,
    AnyCollector,
    Collector,
    is_file_collector,
    supports_file_answers,
    supports_package_names,
)
from collectors.engine.discovery import discover
from collectors.engine.file_facts_cache import FileFactsCache, InvalidFactsError, PackedFacts
from collectors.engine.package_reports import OnPackages, PackageReporter
from collectors.engine.pool.process_pool import ProcessPool
from collectors.engine.pool.steps import UnitResult, pack, run_in_this_process
from collectors.engine.report_assembly import CollectedFacts, Summaries, assemble
from collectors.engine.summaries import OnItems
from collectors.engine.tree_collection import Answers, cache_outcome, tree_steps
from collectors.engine.units import FileUnit, SingleStep, WorkList
from collectors.source.source_tree import FileEntry, SourceTree
from domain.metrics.report import Analysis
from domain.sources import FetchedSource

CPU_BUDGET_SHARE = 1.0
"""The CPU time that a collector may use in all processes, as a share of its time limit for a tree."""

TINY_FILES = 32
TINY_BYTES = 64 * 1024
"""The limits of a tree for which another process would take more time than it saves."""

FILES_PER_SUMMARY = 64
"""The number of files from which on a summary is worth a process of its own."""

Emit = Callable[[str, float], None]

Execute = Callable[[Iterator[None]], None]
"""Does all work, and beside it that of the iterator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`processes` is how many may work at once; `collector_timeout` is the seconds that a collector may take.

    With 0 processes a tiny tree is analysed in this process, which a crash then ends: the caller must be able to
    repeat the analysis with 1 process. `on_packages` is called during the analysis, with the names of packages that
    the tree imports; each is passed once. `on_findings` receives the listed findings in parts, and the analysis then
    has none. `answers` of tools that are known already are not asked for again.
    """

    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    collector_timeout: float = 120.0
    on_packages: OnPackages | None = None
    on_findings: OnItems | None = None
    answers: Answers = field(default_factory=dict)


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
    if options.processes == 0 and not _is_tiny(tree):
        options = replace(options, processes=1)
    try:
        return _analyse(tree, fetched, options, emit, cache)
    except InvalidFactsError:
        if cache is None:
            raise
        cache.discard_files()
        return _analyse(tree, fetched, options, emit, cache)


def _analyse(
    tree: SourceTree, fetched: FetchedSource, options: Options, emit: Emit, cache: FileFactsCache | None
) -> Analysis:
    """Analyse. Raises InvalidFactsError if facts of files in the cache are invalid."""
    requested = [collector for collector in discover() if tree.selection.requests(collector.metric.name)]
    run = _Run(tree, requested, options, emit, cache)
    with run.executor() as execute:
        timings = run.complete(execute)
        outcomes = run.summaries.outcomes
        return assemble(tree, fetched, discover(), run.collected, outcomes, timings, options.on_findings)


class _Run:
    """Map: inspect every file that is not cached, and run the collectors that need the whole tree beside that.

    Reduce: summarize each collector as soon as its own facts and those of all files are there.
    """

    def __init__(
        self,
        tree: SourceTree,
        requested: Sequence[AnyCollector],
        options: Options,
        emit: Emit,
        cache: FileFactsCache | None,
    ) -> None:
        self._tree = tree
        self._options = options
        self._emit = emit
        self._cache = cache
        self._requested = requested
        self._by_file = [collector for collector in requested if is_file_collector(collector)]
        self.collected = CollectedFacts(paths=tuple(sorted(entry.path for entry in tree.entries)))
        self.summaries = Summaries(self.collected, {entry.path: entry.location for entry in tree.entries})
        on_packages, files = options.on_packages, len(tree.entries)
        self._packages = None if on_packages is None else PackageReporter(self.collected, files, on_packages)
        self._work = WorkList()
        self._unsummarized = list(requested)
        self._waiting_trees: set[str] = set()
        self._waiting_files = len(tree.entries)
        self._answered = 0
        self._started = self._collecting_ended = time.monotonic()
        self._collect_trees()
        self._inspect([entry for entry in tree.entries if cache is None or entry not in cache])

    @contextmanager
    def executor(self) -> Iterator[Execute]:
        """Start to work in pool processes; with 0 processes, nothing yet. Yield what waits for all results.

        There are at least two processes, but not more than processors: the slowest tool (git, on one core) would then
        share its core, and end last.
        """
        work, options = self._work, self._options
        if options.processes == 0:
            yield lambda beside: run_in_this_process(work.units, work.finish, native=work.native, beside=beside)
            return
        with ProcessPool(
            work.units,
            processes=max(2, options.processes),
            process_control=self._tree.process_control,
            budget_ms=options.collector_timeout * CPU_BUDGET_SHARE * 1000,
            on_result=work.finish,
        ) as pool:
            yield pool.run

    def complete(self, execute: Execute) -> Mapping[str, int]:
        """Collect and summarize. Return the times that `Analysis.timings_ms` describes."""
        execute(self._add_cached())
        return self._timings(time.monotonic())

    def _collect_trees(self) -> None:
        """Add the work of the collectors that need the whole tree; that of tools is worth a process of its own."""
        steps = tree_steps(self._tree, self._requested, self._cache, self._options.answers)
        for collector, run in sorted(steps, key=lambda step: not supports_package_names(step[0])):
            self._waiting_trees.add(collector.metric.name)
            weight = 0.1 if supports_package_names(collector) else 1.0
            unit = SingleStep(collector.metric.name, run, self._options.collector_timeout, weight)
            done = partial(self._add_tree_facts, collector)
            self._work.add(unit, done, native=supports_file_answers(collector))

    def _inspect(self, files: Sequence[FileEntry]) -> None:
        for entry in sorted(files, key=lambda entry: -entry.size):
            unit = FileUnit(entry, self._by_file, self._options.collector_timeout)
            self._work.add(unit, partial(self._add_file_facts, entry))

    def _add_cached(self) -> Iterator[None]:
        """Add the facts that are cached, file by file."""
        if self._cache is not None:
            for entry in self._tree.entries:
                if entry in self._cache:
                    self._add_cached_facts(entry, self._cache)
                    yield
        self._summarize_complete()

    def _add_cached_facts(self, entry: FileEntry, cache: FileFactsCache) -> None:
        """Add the facts of a file; inspect it where they are not valid."""
        facts = cache.get(entry, self._by_file)
        if facts is None:
            self._inspect([entry])
        else:
            self._add_facts(entry, UnitResult(values=dict(facts)))

    def _add_file_facts(self, entry: FileEntry, result: UnitResult) -> None:
        if self._cache is not None:
            self._cache.put(entry, result)
        self._add_facts(entry, result)
        self._end_collection(result)

    def _add_facts(self, entry: FileEntry, result: UnitResult) -> None:
        self._waiting_files -= 1
        self.collected.add(entry.path, result)
        if self._packages is not None:
            self._packages.add_file(entry.path, result.values)

    def _add_tree_facts(self, collector: Collector, result: UnitResult) -> None:
        """Add the facts alone of each value, and cache what came with them."""
        for name, (facts, to_cache) in result.values.items():
            result.values[name] = facts
            cache_outcome(collector, self._tree, to_cache, self._cache)
        self._waiting_trees.discard(collector.metric.name)
        self.collected.add(TREE_PATH, result)
        if self._packages is not None and collector.metric.name in result.values:
            self._packages.add_tree(collector, result.values[collector.metric.name])
        self._end_collection(result)

    def _end_collection(self, result: UnitResult) -> None:
        """Take note of the end of a unit that collects."""
        now = time.monotonic()
        self.collected.answered_at.update(dict.fromkeys(result.cpu_ms, now))
        self._answered += 1
        self._emit("collecting", self._answered / (self._answered + self._waiting_files + len(self._waiting_trees)))
        self._summarize_complete()

    def _summarize_complete(self) -> None:
        """Add the summaries of the collectors whose facts are complete, the one that takes longest first."""
        if self._waiting_files or not self._unsummarized:
            return
        complete = [each for each in self._unsummarized if each.metric.name not in self._waiting_trees]
        weight = min(1.0, len(self._tree.entries) / FILES_PER_SUMMARY)
        self._unsummarized = [each for each in self._unsummarized if each.metric.name in self._waiting_trees]
        for collector in self._most_facts_first([each for each in complete if self.summaries.is_ready(each)]):
            unit = SingleStep(*self.summaries.step(collector), self._options.collector_timeout, weight)
            self._work.add(unit, partial(self.summaries.add, collector))
            weight = min(weight, 0.5)  # two at a time, so that a process need not wait for this one between them
        if not self._waiting_trees:
            self._collecting_ended = time.monotonic()
            self._emit("summarizing", 0.0)

    def _most_facts_first(self, collectors: Sequence[AnyCollector]) -> Sequence[AnyCollector]:
        """Sort by the size of the facts of the largest file."""
        if not self._tree.entries:
            return collectors
        largest = max(self._tree.entries, key=lambda entry: entry.size).path

        def size(collector: AnyCollector) -> int:
            facts = self.collected.facts.get(collector.metric.name, {}).get(largest)
            return len(facts.packed if isinstance(facts, PackedFacts) else pack(facts))

        return sorted(collectors, key=size, reverse=True)

    def _timings(self, ended: float) -> Mapping[str, int]:
        names = sorted(collector.metric.name for collector in self._requested)
        cpu_ms, answered_at = self.collected.cpu_ms, self.collected.answered_at
        return {
            **{f"collect.{name}": round(cpu_ms[name]) for name in names if name in cpu_ms},
            **{f"wall.{name}": round((answered_at.get(name, self._started) - self._started) * 1000) for name in names},
            "collecting": round((self._collecting_ended - self._started) * 1000),
            "summarizing": round((ended - self._collecting_ended) * 1000),
        }


def _is_tiny(tree: SourceTree) -> bool:
    """Return whether the tree is within the limits; never with a history, since git may take long over any of them."""
    return tree.history is None and len(tree.entries) <= TINY_FILES and sum(e.size for e in tree.entries) <= TINY_BYTES
