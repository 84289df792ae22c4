"""Units of work of an analysis: the inspection of a file, and single steps over the whole tree."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from collectors.contract import FileCollector
from collectors.engine.pool.steps import FILE_STEP, Step, Unit, UnitResult
from collectors.source.source_tree import FileEntry, SourceFile, UnparsableError
from domain.findings.identity import content_digest
from domain.findings.roles import is_marked_as_generated

FILE_DEADLINE_SECONDS = 30.0

BYTES_PER_PROCESS = 256 * 1024
"""Source bytes queued for a pool process in advance, and the least that justifies another process."""


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


class WorkList:
    """Units, and what to do with the result of each. It may grow while the work is done.

    `native` has the positions of the units that wait for a process of a tool.
    """

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.native: set[int] = set()
        self._on_results: list[Callable[[UnitResult], None]] = []

    def add(self, unit: Unit, on_result: Callable[[UnitResult], None], *, native: bool = False) -> None:
        """Add a unit. `on_result` is called once, with its result."""
        if native:
            self.native.add(len(self.units))
        self.units.append(unit)
        self._on_results.append(on_result)

    def finish(self, index: int, result: UnitResult) -> None:
        """Pass on the result of the unit at this position."""
        self._on_results[index](result)
