"""`deps`: the modules and packages that the tree imports, and the versions that it declares."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import TREE_PATH, Facts, Totals
from collectors.dependencies.import_names import OTHER_STANDARD_LIBRARY, STANDARD_LIBRARY, distributions_for
from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.module_index import ModuleIndex
from collectors.schemas import Schema, counts, list_of, record, strings, table
from collectors.source.source_tree import SourceFile, SourceTree
from domain.metrics.declaration import AggregateField, ItemField, MetricDeclaration, RowFormat
from domain.metrics.report import Report

PACKAGES_LIMIT = 1_000
"""The most packages that `package_health` lists."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def _row_details(aggregate: Mapping[str, Any]) -> Mapping[str, object]:
    """Count the packages, those that are outdated, and those of which that is not known."""
    packages = aggregate.get("package_health") or ()
    outdated = sum(1 for package in packages if package["outdated"])
    unknown = sum(1 for package in packages if package["outdated"] is None)
    counted = [f"{outdated} outdated"] + ([f"{unknown} unknown"] if unknown else [])
    return {"packages": len(packages), "outdated": f" ({', '.join(counted)})" if packages else ""}


METRIC = MetricDeclaration(
    name="deps",
    tool="packaging",
    version=version("packaging"),
    aggregate=(
        AggregateField(
            key="total_modules",
            meaning="Distinct third-party top-level packages, and distinct files of the tree that others import.",
        ),
        AggregateField(
            key="package_health",
            meaning="The distributions behind the third-party imports, sorted by name.",
            json_type="array",
            items=(
                ItemField(key="package", meaning="The normalised name (PEP 503).", json_type="string"),
                ItemField(key="installed", meaning="Whether the tree declares it.", json_type="boolean"),
                ItemField(
                    key="outdated",
                    meaning="Whether the current version is older than the latest; null unless both are known.",
                    json_type="boolean",
                ),
                ItemField(key="current_version", meaning="The version that is locked or pinned.", json_type="string"),
                ItemField(
                    key="latest_version",
                    meaning="The package index's highest version that is neither a pre-release nor yanked.",
                    json_type="string",
                ),
            ),
        ),
    ),
    row=RowFormat(
        text="{total_modules} modules imported, {packages} packages{outdated}", details=_row_details, position=50
    ),
)


class Deps:
    """Imports of the tree, and the health of the packages that it imports.

    Every `import` and `from ... import` counts, wherever it is: inside functions, `try`, `if TYPE_CHECKING`.

    - `total_modules`: `import a.b.c` counts `a` if that package is not in the tree. In the tree it counts the deepest
      module on the way: `from pkg import sub` counts `pkg/sub.py` if there is one, otherwise `pkg/__init__.py`.
      `collectors.dependencies.module_index` says where modules are searched. A name that no manifest declares may
      also be a module beside the importing one inside a package, as in programs that are started there. The standard
      library is left out. Its names take precedence over files of the tree, except those that only an older or a
      newer Python has.
    - `package_health`: `package` is the normalised name (PEP 503), from the table in
      `collectors.dependencies.import_names`; where several distributions provide the import, the declared one.
      `installed` is whether a manifest, lock or requirements file of the tree declares it, and `current_version` is
      the version that is locked or pinned there, else null. A declared package that is not imported is not listed.
      `latest_version` and `outdated` are null here: the package index is queried later, outside the sandbox.

    Namespaces without a distribution of their own (`import google`) and names that no distribution can have
    (`_speedups`) count as modules and are not listed as packages.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = record({"absolute": list_of(strings), "relative": table(counts, strings)})

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{absolute: [dotted], relative: [[level, dotted]]}`, without duplicates.

        `dotted` includes the imported name.
        """
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
        """Read the manifests: return `{declared: {distribution: version or None}, direct: [name], gaps: [line]}`."""
        manifests = read_manifests(tree.manifests)
        return {"declared": manifests.declared, "direct": manifests.direct, "gaps": manifests.gaps}

    def package_names(self, facts: Facts) -> Sequence[str]:
        """Return the direct dependencies, which a tree usually imports; all declared ones if there are only locks."""
        return facts["direct"] or list(facts["declared"])

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Classify the imports, now that all files of the tree are known."""
        of_tree = facts.get(TREE_PATH, {"declared": {}, "gaps": []})
        imports = _ImportClassifier(ModuleIndex(totals.files), of_tree["declared"])
        for path, fact in facts.items():
            if path != TREE_PATH:
                imports.add(path, fact)
        internal, foreign = imports.internal, imports.foreign
        names = {name for dotted in foreign.values() for name in dotted}
        health = package_health(names, of_tree["declared"])
        left_out = len(health) - PACKAGES_LIMIT
        more = [f"deps: {left_out} more packages are not listed"] if left_out > 0 else []
        return Report(
            aggregate={
                "total_modules": len(internal) + len(foreign),
                "package_health": health[:PACKAGES_LIMIT],
            },
            gaps=[*of_tree["gaps"], *more],
        )


def package_health(imported: Iterable[str], declared: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return a row for each distribution behind the imported dotted names, sorted; the latest version is unknown."""
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
    """Yield every import statement. Only statements are walked, since no expression contains one."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            for block in _BLOCKS:
                stack.extend(getattr(node, block, ()))


class _ImportClassifier:
    """Sorts imports into files of the tree (`internal`) and packages of others by top-level name (`foreign`)."""

    def __init__(self, index: ModuleIndex, declared: Mapping[str, str | None]) -> None:
        self._index = index
        self._declared = declared
        self.internal: set[str] = set()
        self.foreign: dict[str, set[str]] = defaultdict(set)

    def add(self, path: str, fact: Facts) -> None:
        """Add the imports of one file. A file that imports itself does not count."""
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
        """Return the nearby file, unless the tree declares a distribution of that name."""
        file = self._index.resolve_nearby(path, dotted)
        return None if file is None or any(name in self._declared for name in distributions_for(dotted)) else file


COLLECTOR = Deps()
