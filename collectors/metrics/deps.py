"""What the tree depends on: modules of its own, packages of others, and what it declares of these."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import TREE_PATH, Facts, Totals
from collectors.dependencies.import_names import OTHER_STANDARD_LIBRARY, STANDARD_LIBRARY, distributions_for
from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.module_index import ModuleIndex
from collectors.schemas import Schema, counts, list_of, record, strings, table
from collectors.source.source_tree import SourceFile, SourceTree
from domain.metrics.report import Report

PACKAGES_LIMIT = 1_000
"""How many packages `package_health` lists."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


class Deps:
    """Imports, counted by what they mean; and the health of the packages that are imported.

    Every `import` and `from ... import` counts, wherever it stands: inside functions, `try`, `if TYPE_CHECKING`.

    - `total_modules`: distinct third-party top-level packages, and distinct files of the tree that some other file
      imports. `import a.b.c` of a package that is not in the tree counts `a`. Of the tree it counts the deepest module
      on the way: `from pkg import sub` counts `pkg/sub.py` if there is one, otherwise `pkg/__init__.py`.
      `collectors.dependencies.module_index` tells where modules are looked for; what nothing declares may also be a
      module beside
      the importing one inside a package, as programs have it that are started there. The standard library is left out;
      its names win over files of the tree, save those that only an older or a newer Python has.
    - `package_health`: the distributions behind the third-party imports, sorted, each
      `{package, installed, outdated, current_version, latest_version}`. `package` is the normalised name (PEP 503),
      from the table in `collectors.dependencies.import_names`; where several distributions bring the import, the one
      that is
      declared. `installed` says whether the tree declares it in any manifest, lock or requirements file, and
      `current_version` is the version locked or pinned there, else null. A package that is declared and not imported is
      not listed. `latest_version` and `outdated` are null here: the package index is asked later, outside the sandbox.

    Namespaces without a distribution of their own (`import google`) and names that no distribution can have
    (`_speedups`) count as modules and are not listed as packages.
    """

    name: ClassVar[str] = "deps"
    tool: ClassVar[str] = "packaging"
    version: ClassVar[str] = version("packaging")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("total_modules", "package_health")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = record({"absolute": list_of(strings), "relative": table(counts, strings)})

    def inspect(self, file: SourceFile) -> Facts:
        """`{absolute: [dotted], relative: [[level, dotted]]}`, each once; the imported name is part of `dotted`."""
        absolute: set[str] = set()
        relative: set[tuple[int, str]] = set()
        for node in _imports(file.tree):
            for alias in node.names:
                if isinstance(node, ast.Import):
                    absolute.add(alias.name)
                    continue
                dotted = f"{node.module}.{alias.name}" if node.module else alias.name
                if node.level:
                    relative.add((node.level, dotted))
                else:
                    absolute.add(dotted)
        return {"absolute": sorted(absolute), "relative": [list(item) for item in sorted(relative)]}

    def collect_tree(self, tree: SourceTree) -> Facts:
        """`{declared: {distribution: version or None}, gaps: [line]}` of the tree's manifests."""
        manifests = read_manifests(tree.manifests)
        return {"declared": manifests.declared, "gaps": manifests.gaps}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Tell the imports apart, now that all files of the tree are known."""
        survey = facts.get(TREE_PATH, {"declared": {}, "gaps": []})
        sorter = _Sorter(ModuleIndex(totals.files), survey["declared"])
        for path, fact in facts.items():
            if path != TREE_PATH:
                sorter.add(path, fact)
        internal, foreign = sorter.internal, sorter.foreign
        names = {name for dotted in foreign.values() for name in dotted}
        health = package_health(names, survey["declared"])
        left_out = len(health) - PACKAGES_LIMIT
        more = [f"deps: {left_out} more packages are not listed"] if left_out > 0 else []
        return Report(
            aggregate={
                "total_modules": len(internal) + len(foreign),
                "package_health": health[:PACKAGES_LIMIT],
            },
            gaps=[*survey["gaps"], *more],
        )


def package_health(imported: Iterable[str], declared: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """A row for each distribution behind the imported dotted names, sorted by name; nothing known of the latest."""
    packages = set()
    for dotted in imported:
        candidates = distributions_for(dotted)
        packages.update([next((name for name in candidates if name in declared), candidates[0])] if candidates else [])
    return [
        {
            "package": package,
            "installed": package in declared,
            "outdated": None,
            "current_version": declared.get(package),
            "latest_version": None,
        }
        for package in sorted(packages)
    ]


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import statement; only statements are walked, since no expression holds one."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            for block in _BLOCKS:
                stack.extend(getattr(node, block, ()))


class _Sorter:
    """Puts imports where they belong: with the tree's files, with the others' packages (by top-level name), nowhere."""

    def __init__(self, index: ModuleIndex, declared: Mapping[str, str | None]) -> None:
        self._index = index
        self._declared = declared
        self.internal: set[str] = set()
        self.foreign: dict[str, set[str]] = defaultdict(set)

    def add(self, path: str, fact: Facts) -> None:
        """Sort the imports of one file; a file that imports itself does not count."""
        found = {self._index.resolve_relative(path, level, dotted) for level, dotted in fact["relative"]}
        for dotted in fact["absolute"]:
            top = dotted.partition(".")[0]
            if top in STANDARD_LIBRARY:
                continue
            file = self._index.resolve_absolute(path, dotted) or self._undeclared(path, dotted)
            found.add(file)
            if file is None and top not in OTHER_STANDARD_LIBRARY:
                self.foreign[top].add(dotted)
        self.internal.update(file for file in found if file is not None and file != path)

    def _undeclared(self, path: str, dotted: str) -> str | None:
        """What lies nearby, unless the tree asks for a distribution of that name."""
        file = self._index.resolve_nearby(path, dotted)
        return None if file is None or any(name in self._declared for name in distributions_for(dotted)) else file


COLLECTOR = Deps()
