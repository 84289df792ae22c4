"""Reports of the packages that a tree imports, while it is analysed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from collectors.contract import TREE_PATH, Collector, Facts, PackageFinder, supports_package_names
from collectors.engine.file_facts_cache import plain
from collectors.engine.report_assembly import CollectedFacts

OnPackages = Callable[[Sequence[str]], None]
"""Called with names of packages, each once."""


class PackageReporter:
    """Passes on the names of packages as soon as the facts are there from which they follow.

    The facts come from processes that the analysed files may have taken over. An error in them ends the reports of that
    collector, and nothing else: they only say what to look up early.
    """

    def __init__(self, collected: CollectedFacts, files: int, on_packages: OnPackages) -> None:
        """`collected` holds the facts so far; `files` is the number of files whose facts are not there yet."""
        self._collected = collected
        self._missing = files
        self._on_packages = on_packages
        self._finders: dict[str, PackageFinder] = {}

    def add_tree(self, collector: Collector, facts: Facts) -> None:
        """Take the facts of the tree, and report what follows for the files so far."""
        name = collector.metric.name
        if supports_package_names(collector):
            so_far = self._collected.facts.get(name, {})
            with suppress(Exception):
                self._finders[name] = collector.package_finder(facts, self._collected.paths)
                self._report(name, [(path, fact) for path, fact in so_far.items() if path != TREE_PATH])

    def add_file(self, path: str, values: Mapping[str, Facts]) -> None:
        """Take the facts of a file, by collector."""
        self._missing -= 1
        for name in list(self._finders):
            fact = values.get(name)  # None: the file does not parse
            self._report(name, [] if fact is None else [(path, fact)])

    def _report(self, collector: str, facts: Iterable[tuple[str, Facts]]) -> None:
        finder = self._finders[collector]
        try:
            names = [package for path, fact in facts for package in finder.add(path, plain(fact))]
            names += [] if self._missing else finder.finish()
        except Exception:  # noqa: BLE001 - facts of any shape
            del self._finders[collector]
            return
        if names:
            self._on_packages(names)
