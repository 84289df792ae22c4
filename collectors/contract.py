"""The contract of a collector: what it declares, and the abilities that the engine uses.

A collector measures one metric. It maps files (or the whole tree) to facts, and reduces the facts to a report. A new
metric is one module in `collectors/metrics` with a `COLLECTOR` of one of the two kinds below.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from collectors.schemas import Schema
from collectors.source.source_tree import SourceFile, SourceTree
from domain.metrics.declaration import MetricDeclaration, Numbers
from domain.metrics.report import Report
from domain.text import JSON

Facts = Any
"""Plain data that msgpack carries unchanged: None, bool, int, float, str, bytes, list, dict with str keys.

Facts cross process borders and may come from a cache. Tuples become lists on the way.
"""

TREE_PATH = ""
"""The path that stands for the tree as a whole where facts are kept by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What every `summarize` may need to know of the tree: display paths in sorted order, and source lines by path.

    `sloc` is None for a file that cannot be tokenized; `total_sloc` adds up the others.
    """

    sloc: Mapping[str, int | None]

    @property
    def files(self) -> tuple[str, ...]:
        """All paths, sorted."""
        return tuple(self.sloc)

    @property
    def total_sloc(self) -> int:
        """The source lines of all files whose lines could be counted."""
        return sum(count for count in self.sloc.values() if count is not None)

    @property
    def density_base(self) -> int | None:
        """`total_sloc`, to which a count of all files is related; None where the only lines could not be counted."""
        return None if not self.total_sloc and None in self.sloc.values() else self.total_sloc


class Collector(Protocol):
    """What both kinds of collector declare."""

    metric: ClassVar[MetricDeclaration]


@runtime_checkable
class FileCollector(Collector, Protocol):
    """A collector that inspects one file at a time.

    Files that do not parse are kept from a collector with `needs_syntax`. One that also needs something of the tree
    as a whole implements `SupportsTreeFacts` or `SupportsFileAnswers`; `summarize` finds those facts at `TREE_PATH`.
    """

    needs_syntax: ClassVar[bool]
    facts_schema: ClassVar[Schema]
    """What `inspect` returns. Cached facts that do not match it are discarded."""

    def inspect(self, file: SourceFile) -> Facts:
        """Return the facts of one file. They depend on nothing but the file's bytes and path."""
        ...

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Reduce the facts of all files that could be inspected, by path in sorted order, to a report."""
        ...


@runtime_checkable
class SupportsTreeFacts(Collector, Protocol):
    """A collector that collects facts of the tree as a whole, beside the map over files."""

    def collect_tree(self, tree: SourceTree) -> Facts:
        """Return the facts of the tree."""
        ...


@runtime_checkable
class TreeCollector(SupportsTreeFacts, Protocol):
    """A collector whose tool is native or needs the whole tree at once, such as git."""

    def summarize(self, facts: Facts, totals: Totals) -> Report:
        """Reduce the facts of the tree to a report."""
        ...


AnyCollector = FileCollector | TreeCollector


@runtime_checkable
class SupportsSubsets(Collector, Protocol):
    """A collector whose aggregate can be computed for some of a tree's files, from their per-file numbers."""

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Return the aggregate of the files of `totals`; `numbers` are those that `summarize` reported of them."""
        ...


@runtime_checkable
class SupportsFileAnswers(FileCollector, Protocol):
    """A file collector whose tool looks at the whole tree but answers for each file.

    An answer depends on the file's bytes, and on the names and modes of all files of the tree.
    """

    answer_schema: ClassVar[Schema]
    """What one answer looks like. Cached answers that do not match it are discarded."""

    def collect_incremental(self, tree: SourceTree, known: Mapping[str, Facts]) -> tuple[Facts, Mapping[str, Facts]]:
        """Return the facts that `collect_tree` returns, and the new answers by path.

        `known` maps paths to answers of earlier runs; the tool is run on the other files only.
        """
        ...


@runtime_checkable
class SupportsManyTrees(SupportsFileAnswers, Protocol):
    """A collector whose tool can answer for several trees in one run."""

    def answer_trees(self, trees: Sequence[SourceTree]) -> Sequence[Mapping[str, Facts]]:
        """Return the answers for each tree, by path, from one run of the tool for all.

        Each answer equals that of a run for its tree alone. A file for which that is not certain has no answer.
        """
        ...


@runtime_checkable
class SupportsSavedState(TreeCollector, Protocol):
    """A tree collector that can continue from what earlier runs saved."""

    def collect_incremental(self, tree: SourceTree, states: Sequence[bytes | memoryview]) -> tuple[Facts, bytes | None]:
        """Return the facts that `collect_tree` returns, whatever `states` holds, and a state for later runs.

        The state is None where there is nothing new to save.
        """
        ...


@runtime_checkable
class SupportsImports(Collector, Protocol):
    """A collector that knows which files of the tree import each other."""

    def imports(
        self, facts: Mapping[str, Facts], importers: Collection[str], paths: Sequence[str]
    ) -> Mapping[str, Collection[str]]:
        """Return the files of the tree that each of `importers` imports; those without facts are left out.

        `facts` are those of all files and, at `TREE_PATH`, of the tree; `paths` are those of all files.
        """
        ...


class PackageFinder(Protocol):
    """Finds names of packages that an index may be asked for. No name is returned twice."""

    def add(self, path: str, facts: Facts) -> Iterable[str]:
        """Return names that follow from the facts of this file."""
        ...

    def finish(self) -> Iterable[str]:
        """Return names that follow from the facts of all files."""
        ...


@runtime_checkable
class SupportsPackageNames(SupportsTreeFacts, Protocol):
    """A collector of files that finds package names. Their versions are looked up while the tree is analysed."""

    def package_finder(self, of_tree: Facts, paths: Sequence[str]) -> PackageFinder:
        """Return what finds package names in the facts of files.

        `of_tree` is what `collect_tree` returned, and `paths` are those of all files. `summarize` may return others.
        """
        ...


@cache
def _is_instance(collector: object, protocol: type) -> bool:
    """Cached, since `isinstance` with a runtime protocol takes a hundred times as long as a lookup."""
    return isinstance(collector, protocol)


def is_file_collector(collector: object) -> TypeGuard[FileCollector]:
    """Return whether the collector inspects files one at a time."""
    return _is_instance(collector, FileCollector)


def supports_tree_facts(collector: object) -> TypeGuard[SupportsTreeFacts]:
    """Return whether the collector collects facts of the whole tree."""
    return _is_instance(collector, SupportsTreeFacts)


def supports_file_answers(collector: object) -> TypeGuard[SupportsFileAnswers]:
    """Return whether the collector can leave out files whose answers are known."""
    return _is_instance(collector, SupportsFileAnswers)


def supports_subsets(collector: object) -> TypeGuard[SupportsSubsets]:
    """Return whether the collector's aggregate can be computed for some of the files."""
    return _is_instance(collector, SupportsSubsets)


def supports_many_trees(collector: object) -> TypeGuard[SupportsManyTrees]:
    """Return whether the collector's tool can answer for several trees in one run."""
    return _is_instance(collector, SupportsManyTrees)


def supports_package_names(collector: object) -> TypeGuard[SupportsPackageNames]:
    """Return whether the collector finds package names in the facts of files."""
    return _is_instance(collector, SupportsPackageNames)


def supports_imports(collector: object) -> TypeGuard[SupportsImports]:
    """Return whether the collector knows which files import each other."""
    return _is_instance(collector, SupportsImports)


def supports_saved_state(collector: object) -> TypeGuard[SupportsSavedState]:
    """Return whether the collector can continue from a saved state."""
    return not is_file_collector(collector) and _is_instance(collector, SupportsSavedState)
