"""Map, reduce, time and isolate: runs every collector over a tree. It knows no collector by name."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from collectors.contract import FileCollector, Totals, TreeCollector, is_by_file
from collectors.engine.discovery import discover
from collectors.engine.file_facts import Memory
from collectors.engine.process_pool import Supervisor
from collectors.engine.report_assembly import Outcome, Surveyed, assemble
from collectors.engine.steps import Step, Unit, UnitResult, run_here
from collectors.engine.summaries import Summary
from collectors.engine.tree_collection import questions, remember
from collectors.source.source_tree import FileEntry, SourceFile, SourceTree, UnparsableError
from domain.metrics.report import Analysis, Failed, Ok
from domain.sources import FetchedSource

BASE = ""
"""The step that reads and parses a file, and the path under which a survey of the whole tree is kept."""

FILE_DEADLINE_SECONDS = 30.0
CPU_BUDGET_SHARE = 1.0
"""How much CPU time a collector may use in all, as a share of the wall time that it may take for a tree."""

LANE_BYTES = 256 * 1024
"""Source bytes queued on a lane in advance, and the least that is worth a further lane."""

TINY_FILES = 32
TINY_BYTES = 64 * 1024
"""Together at most, for a tree over which one more process would take more time than it saves."""

AnyCollector = FileCollector | TreeCollector
Emit = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How many processes may work at once, and the seconds that one collector may take for a tree.

    With 0 a tiny tree is taken by this process itself: for whoever can do it again should it not survive that.
    """

    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    collector_timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class FileUnit:
    """One file and everything that its collectors want of it; read and parsed once, in the lane."""

    entry: FileEntry
    collectors: Sequence[FileCollector]
    timeout: float

    @property
    def weight(self) -> float:
        """Share of a lane's queue."""
        return (self.entry.size + 512) / LANE_BYTES

    @property
    def deadline(self) -> float:
        """Seconds a collector may spend on this one file."""
        return min(self.timeout, FILE_DEADLINE_SECONDS)

    def steps(self) -> Iterable[Step]:
        """Read and parse, then each collector; files that do not parse are kept from those that need syntax."""
        opened: list[SourceFile] = []

        def file() -> SourceFile:
            if not opened:
                opened.append(SourceFile(self.entry.path, self.entry.location.read_bytes()))
            return opened[0]

        yield BASE, lambda: _base_facts(file())
        for collector in self.collectors:
            yield collector.name, partial(_inspect, collector, file)


def _base_facts(file: SourceFile) -> list[Any]:
    """[parse error or None, source lines or None]. Lines can be counted in much that does not parse."""
    try:
        return [file.parse_error, file.line_counts.sloc]
    except UnparsableError as error:
        return [file.parse_error or str(error), None]


def _inspect(collector: FileCollector, opened: Callable[[], SourceFile]) -> Any:
    file = opened()
    try:
        if collector.needs_syntax and file.parse_error is not None:
            return None
        return collector.inspect(file)
    except UnparsableError:
        return None


@dataclass(frozen=True, slots=True)
class SingleStep:
    """A unit of one step: a whole-tree collector, a survey, a summary."""

    name: str
    thunk: Callable[[], Any]
    deadline: float
    weight: float

    def steps(self) -> Iterable[Step]:
        """The one step."""
        yield self.name, self.thunk


def analyse(
    tree: SourceTree,
    fetched: FetchedSource,
    options: Options,
    emit: Emit = lambda _stage, _share: None,
    memory: Memory | None = None,
) -> Analysis:
    """Run all collectors over the tree, but on those files alone that `memory` knows nothing about.

    `emit` is told the stage (`collecting`, `summarizing`) and how much of it is done, 0..1. Nothing that a file
    or a collector does raises from here; what was lost is in the result's `errors` and `completeness`.
    """
    started = time.monotonic()
    if options.processes == 0 and not _is_tiny(tree):
        options = replace(options, processes=1)
    collectors = discover()
    surveyed = _survey(tree, collectors, options, emit, memory)
    collected = time.monotonic()
    emit("summarizing", 0.0)
    outcomes = _summarize(collectors, surveyed, options)
    names = sorted(collector.name for collector in collectors)
    timings = {
        **{f"collect.{name}": round(surveyed.cpu_ms[name]) for name in names if name in surveyed.cpu_ms},
        **{f"wall.{name}": round((surveyed.answered.get(name, started) - started) * 1000) for name in names},
        "collecting": round((collected - started) * 1000),
        "summarizing": round((time.monotonic() - collected) * 1000),
    }
    return assemble(tree, fetched, collectors, surveyed, outcomes, timings)


def _survey(
    tree: SourceTree, collectors: Sequence[AnyCollector], options: Options, emit: Emit, memory: Memory | None
) -> Surveyed:
    """The map: every unknown file through its collectors, and beside it the tools that take the tree whole."""
    by_file = [collector for collector in collectors if is_by_file(collector)]
    asked = list(questions(tree, collectors, memory))
    whole = [SingleStep(asker.name, ask, options.collector_timeout, weight=1.0) for asker, ask in asked]
    surveyed = Surveyed(paths=tuple(sorted(entry.path for entry in tree.entries)))
    unknown = _recall(tree, by_file, surveyed, memory)
    largest_first = sorted(unknown, key=lambda entry: -entry.size)
    files = [FileUnit(entry, by_file, options.collector_timeout) for entry in largest_first]
    total, done = len(files) + len(whole), 0

    def keep(index: int, result: UnitResult) -> None:
        nonlocal done
        done += 1
        surveyed.answered.update(dict.fromkeys(result.cpu_ms, time.monotonic()))
        if index < len(whole):
            asker = asked[index][0]
            for name, (facts, kept) in result.values.items():
                result.values[name] = facts
                remember(asker, tree, kept, memory)
            surveyed.add(BASE, result)
        else:
            entry = files[index - len(whole)].entry
            surveyed.add(entry.path, result)
            if memory is not None:
                memory.learn(entry, result)
        emit("collecting", done / total)

    size = sum(entry.size for entry in unknown)
    # The whole-tree tools come first, and each takes a lane for itself: with more lanes than processors, the slowest
    # of them (git, on one core) would share its core with files, and end alone.
    lanes = options.processes and max(2, min(options.processes, len(whole) + round(size / LANE_BYTES)))
    _run([*whole, *files], lanes, options, keep)
    return surveyed


def _recall(
    tree: SourceTree, collectors: Sequence[FileCollector], surveyed: Surveyed, memory: Memory | None
) -> Sequence[FileEntry]:
    """Fill in what is remembered; returns the files of which nothing is."""
    if memory is None:
        return tree.entries
    unknown = []
    for entry in tree.entries:
        facts = memory.recall(entry, collectors)
        if facts is None:
            unknown.append(entry)
        else:
            surveyed.add(entry.path, UnitResult(values=dict(facts)))
    return unknown


def _run(units: Sequence[Unit], lanes: int, options: Options, on_result: Callable[[int, UnitResult], None]) -> None:
    """Run them in so many lanes; with none, in this process."""
    if lanes == 0:
        run_here(units, on_result)
    else:
        budget_ms = options.collector_timeout * CPU_BUDGET_SHARE * 1000
        Supervisor(units, lanes=lanes, budget_ms=budget_ms, on_result=on_result).run()


def _is_tiny(tree: SourceTree) -> bool:
    """Git may take its time over any history."""
    return tree.history is None and len(tree.entries) <= TINY_FILES and sum(e.size for e in tree.entries) <= TINY_BYTES


def _summarize(collectors: Sequence[AnyCollector], surveyed: Surveyed, options: Options) -> Mapping[str, Outcome]:
    """The reduce: each collector's report, or why it failed."""
    totals = Totals(sloc=surveyed.sloc)
    outcomes: dict[str, Outcome] = {}
    ready = []
    for collector in collectors:
        reason = surveyed.failure_of(collector)
        if reason is None:
            ready.append(collector)
        else:
            outcomes[collector.name] = Failed(reason=reason)

    def thunk(collector: AnyCollector) -> Callable[[], Any]:
        facts = surveyed.facts_of(collector)
        return lambda: Summary.of(collector.summarize(facts, totals)).plain()

    def keep(index: int, result: UnitResult) -> None:
        collector = ready[index]
        if collector.name in result.values:
            summary = Summary.from_plain(result.values[collector.name], surveyed.gaps_of(collector))
            outcomes[collector.name] = Ok(value=summary)
        else:
            outcomes[collector.name] = Failed(reason=result.failures[collector.name])

    units = [SingleStep(item.name, thunk(item), options.collector_timeout, weight=0.2) for item in ready]
    _run(units, options.processes if len(surveyed.paths) > 1 else min(options.processes, 1), options, keep)
    return outcomes
