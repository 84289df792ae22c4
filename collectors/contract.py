"""What a collector is: a name, the tool whose number it equals, a map over files (or the whole tree), and a reduce.

An eleventh metric is one module in this package with a `COLLECTOR` of one of these two kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from collectors.schemas import Shape
from collectors.source.source_tree import SourceFile, SourceTree
from domain.metrics.report import Report

Facts = Any
"""Plain data that msgpack carries unchanged: None, bool, int, float, str, bytes, list, dict with str keys.

It crosses process borders and may come out of a cache, so tuples come back as lists.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What every summary may need of the tree: display paths in sorted order, and source lines by path.

    `sloc` is None for a file that cannot even be tokenized; `total_sloc` adds up the rest.
    """

    sloc: Mapping[str, int | None]

    @property
    def files(self) -> tuple[str, ...]:
        """All paths, sorted."""
        return tuple(self.sloc)

    @property
    def total_sloc(self) -> int:
        """Source lines of all files that have a number."""
        return sum(count for count in self.sloc.values() if count is not None)


class Collector(Protocol):
    """What both kinds declare.

    `name` is the key in `metrics`; `tool` and `version` go to `tool_versions`; `revision` counts changes of our own
    facts and, with the versions, keys any cache of them; `fields` are the aggregate's keys, nulls when it fails.
    """

    name: ClassVar[str]
    tool: ClassVar[str]
    version: ClassVar[str]
    revision: ClassVar[int]
    fields: ClassVar[tuple[str, ...]]


@runtime_checkable
class FileCollector(Collector, Protocol):
    """A metric that looks at one file at a time; `needs_syntax` keeps files that do not parse from it.

    A collector that also needs something of the tree as a whole (`deps` its manifests, `lint` ruff's answers) has a
    method `survey(tree) -> Facts`: it runs beside the map, and `summarize` finds its answer under the path `""`. One
    whose survey goes through the files one by one may have a method `consult(tree, known) -> (facts, answers)`, too:
    the same facts, but the tool is asked only about files of which no answer is known; `answers` are what it said of
    those, by path, each of `answer_shape`. They depend on a file's bytes and on all names and modes of the tree.
    """

    needs_syntax: ClassVar[bool]
    shape: ClassVar[Shape]
    """What `inspect` returns: facts that come out of a cache and look otherwise are not believed."""

    def inspect(self, file: SourceFile) -> Facts:
        """Map: what this file alone can tell. Depends on nothing but the file's bytes and path."""
        ...

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Reduce: facts by path, for the files that could be inspected, in sorted order."""
        ...


@runtime_checkable
class TreeCollector(Collector, Protocol):
    """A metric whose tool is native or needs the whole tree at once (git).

    One that can build on what earlier runs left has a method `resume(tree, states) -> (facts, state)` beside
    `collect`: with whatever states it gives the same facts, and the state (bytes, or None) is for later runs.
    """

    def collect(self, tree: SourceTree) -> Facts:
        """What the tool says of the tree. Runs beside the map over files."""
        ...

    def summarize(self, facts: Facts, totals: Totals) -> Report:
        """The numbers, once the source lines are known."""
        ...


def is_by_file(collector: FileCollector | TreeCollector) -> TypeGuard[FileCollector]:
    """Which of the two it is. Asking a protocol takes a hundred times as long."""
    return hasattr(collector, "inspect")
