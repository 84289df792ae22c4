"""`deps`: the modules and packages that the tree imports, and the versions that it declares."""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import TREE_PATH, Facts, PackageFinder, Totals
from collectors.dependencies.import_names import (
    OTHER_STANDARD_LIBRARY,
    STANDARD_LIBRARY,
    DeclaredNames,
    canonical_name,
    distributions_for,
    known_below_namespace,
)
from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.module_index import ModuleIndex
from collectors.dependencies.script_metadata import MARK, parse_script_metadata
from collectors.schemas import Schema, booleans, counts, list_of, record, strings, strings_or_none, table
from collectors.source.source_tree import SourceFile, SourceTree
from domain.metrics.declaration import AggregateField, ItemField, MetricDeclaration, RowFormat
from domain.metrics.packages import NOT_INDEXED
from domain.metrics.report import Report

PACKAGES_LIMIT = 1_000
"""The most packages that `package_health` lists."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def _row_details(aggregate: Mapping[str, Any]) -> Mapping[str, object]:
    """Count the packages and say what is known of them: compared, not pinned, and of which the index knows versions."""
    packages = aggregate.get("package_health") or ()
    compared = [package["outdated"] for package in packages if package["outdated"] is not None]
    unpinned = sum(1 for package in packages if package["current_version"] is None)
    newest = sum(1 for package in packages if package["latest_version"] is not None)
    counted = [f"{sum(compared)} outdated"] * bool(compared) + [f"{unpinned} not pinned"] * bool(unpinned)
    parts = [", ".join(counted)] * bool(counted)
    if len(compared) < len(packages):
        parts.append(f"newest versions found for {newest}")
    return {"packages": len(packages), "outdated": f" ({'; '.join(parts)})" if packages else ""}


METRIC = MetricDeclaration(
    name="deps",
    tool="packaging",
    homepage="https://packaging.pypa.io",
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
            lists_packages=True,
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
      Modules that are not analysed count too: extension modules, stubs, and Python files that were left out.
      `collectors.dependencies.module_index` says where modules are searched. A dependency that a manifest declares
      wins over a module that is only found by a guess. A name that no manifest declares may also be a module beside
      the importing one inside a package, as in programs that are started there. The standard library is left out.
      Its names take precedence over files of the tree, except those that only an older or a newer Python has.
    - `package_health`: `package` is the normalised name (PEP 503): what the tree declares and fits the import
      (`collectors.dependencies.import_names.DeclaredNames`), else what the table of import names says, else the
      import's name. `installed` is whether a manifest, lock or requirements file of the tree, or the metadata of a
      script (PEP 723), declares it, and `current_version` is the version that is locked or pinned there, else null. A
      declared package that is not imported is not listed. `latest_version` and `outdated` are null here: the package
      index is queried later, outside the sandbox.

    No index is asked for an internal name. Therefore the tree's own projects are not listed, and neither is a name of
    the tree's namespaces that nothing declares. Distributions that a manifest takes from a path, a repository, a URL or
    an index of its own are listed, without their latest version.

    Namespaces without a distribution of their own (`import google`) and names that no distribution can have
    (`_speedups`) count as modules and are not listed as packages.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = record(
        {"absolute": list_of(strings), "relative": table(counts, strings)},
        {"script": table(strings, strings_or_none, booleans)},
    )

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{absolute: [dotted], relative: [[level, dotted]]}`, without duplicates.

        `dotted` includes the imported name. `script: [[name, version, indexed]]` is added where the file itself
        declares dependencies.
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
        facts = {"absolute": sorted(absolute), "relative": [list(item) for item in sorted(relative)]}
        script = parse_script_metadata(file.text) if MARK in file.text else []
        return {**facts, "script": [list(item) for item in script]} if script else facts

    def collect_tree(self, tree: SourceTree) -> Facts:
        """Read the manifests: return the fields of `Manifests`, and `modules`: paths of those that are not analysed."""
        scripts = {entry.path: entry.location for entry in tree.entries if entry.path.rpartition("/")[2] == "setup.py"}
        manifests = read_manifests(tree.manifests, scripts)
        return {**asdict(manifests), "modules": list(tree.other_modules)}

    def package_finder(self, of_tree: Facts, paths: Sequence[str]) -> PackageFinder:
        """Return a finder of the packages that files import. Names that no index is asked for are left out."""
        return _Finder({**_NO_MANIFESTS, **of_tree}, paths)

    def imports(
        self, facts: Mapping[str, Facts], importers: Collection[str], paths: Sequence[str]
    ) -> Mapping[str, Collection[str]]:
        """Return the files of the tree that each of `importers` imports, found as `total_modules` counts them."""
        of_tree = {**_NO_MANIFESTS, **facts.get(TREE_PATH, {})}
        files = {path: fact for path, fact in facts.items() if path != TREE_PATH}
        classifier = _classifier(of_tree, files, paths)
        return {path: classifier.internal_imports(path, files[path]) for path in importers if path in files}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Classify the imports, now that all files of the tree are known; no number of them where no file parses."""
        of_tree = {**_NO_MANIFESTS, **facts.get(TREE_PATH, {})}
        files = {path: fact for path, fact in facts.items() if path != TREE_PATH}
        declarations, imports = _classify(of_tree, files, totals.files)
        health = package_health(imports.packages, declarations)
        unknown = bool(totals.files) and not files
        left_out = len(health) - PACKAGES_LIMIT
        more = [f"deps: {left_out} more packages are not listed"] if left_out > 0 else []
        return Report(
            aggregate={
                "total_modules": None if unknown else len(imports.internal) + len(imports.foreign),
                "package_health": health[:PACKAGES_LIMIT],
            },
            gaps=[*of_tree["gaps"], *more],
        )


_NO_MANIFESTS: Mapping[str, Any] = {
    "declared": {}, "own": [], "elsewhere": [], "roots": [], "gaps": [], "modules": [],
    "private_index": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declarations:
    """What the tree declares: distributions by name with their versions, those of others, and those not to look up."""

    versions: Mapping[str, str | None]
    of_others: DeclaredNames
    own: frozenset[str]
    elsewhere: frozenset[str]
    private_index: bool

    def is_indexed(self, package: str) -> bool:
        """Return whether an index may be asked for this package."""
        return not self.private_index and package not in self.elsewhere

    @classmethod
    def of(cls, of_tree: Mapping[str, Any], files: Iterable[Facts]) -> "_Declarations":
        versions = dict(of_tree["declared"])
        elsewhere = set(of_tree["elsewhere"])
        for name, version_, indexed in (row for fact in files for row in fact.get("script", ())):
            versions[name] = versions.get(name) or version_
            elsewhere.update(() if indexed else (name,))
        own = frozenset(of_tree["own"])
        return cls(
            versions=versions,
            of_others=DeclaredNames(versions.keys() - own),
            own=own,
            elsewhere=frozenset(elsewhere),
            private_index=of_tree["private_index"],
        )


class _Finder:
    """Finds declared packages file by file; the others follow from all files, among which they may be declared."""

    def __init__(self, of_tree: Mapping[str, Any], paths: Sequence[str]) -> None:
        self._of_tree, self._paths = of_tree, paths
        self._declarations = _Declarations.of(of_tree, ())
        self._files: dict[str, Facts] = {}
        self._examined: set[str] = set()
        self._returned: set[str] = set()

    def add(self, path: str, facts: Facts) -> Sequence[str]:
        self._files[path] = facts
        new = {dotted for dotted in facts["absolute"] if dotted.partition(".")[0] not in STANDARD_LIBRARY}
        new -= self._examined
        self._examined |= new
        found = (self._declarations.of_others.find(dotted, only_sure=True) for dotted in new)
        return self._not_returned({name for name in found if name is not None}, self._declarations)

    def finish(self) -> Sequence[str]:
        declarations, imports = _classify(self._of_tree, self._files, self._paths)
        return self._not_returned(imports.packages, declarations)

    def _not_returned(self, packages: Iterable[str], declarations: _Declarations) -> Sequence[str]:
        names = sorted(name for name in {*packages} - self._returned if declarations.is_indexed(name))
        self._returned.update(names)
        return names


def _classify(
    of_tree: Mapping[str, Any], files: Mapping[str, Facts], paths: Sequence[str]
) -> tuple[_Declarations, "_ImportClassifier"]:
    imports = _classifier(of_tree, files, paths)
    for path, fact in files.items():
        imports.add(path, fact)
    return imports.declarations, imports


def _classifier(of_tree: Mapping[str, Any], files: Mapping[str, Facts], paths: Sequence[str]) -> "_ImportClassifier":
    """Return a classifier of imports that knows all files of the tree, and to which no import was added."""
    tops = {dotted.partition(".")[0] for fact in files.values() for dotted in fact["absolute"]}
    index = ModuleIndex((*paths, *of_tree["modules"]), projects=of_tree["roots"], imported=tops)
    return _ImportClassifier(index, _Declarations.of(of_tree, files.values()))


def package_health(packages: Iterable[str], declarations: _Declarations) -> list[dict[str, Any]]:
    """Return a row for each distribution, sorted; the latest version is unknown."""
    rows = []
    for package in sorted(packages):
        row = {
            "package": package,
            "installed": package in declarations.versions,
            "outdated": None,
            "current_version": declarations.versions.get(package),
            "latest_version": None,
        }
        rows.append(row if declarations.is_indexed(package) else {**row, NOT_INDEXED: True})
    return rows


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
    """Sorts imports into files of the tree (`internal`) and top-level names of others (`foreign`).

    `packages` are the distributions behind the latter, as far as they have one.
    """

    def __init__(self, index: ModuleIndex, declarations: _Declarations) -> None:
        self._index = index
        self.declarations = declarations
        self.internal: set[str] = set()
        self.foreign: set[str] = set()
        self.packages: set[str] = set()

    def add(self, path: str, fact: Facts) -> None:
        """Add the imports of one file. A file that imports itself does not count."""
        self.internal.update(self.internal_imports(path, fact))

    def internal_imports(self, path: str, fact: Facts) -> frozenset[str]:
        """Return the files of the tree that one file imports, without itself; add its imports of others."""
        found = {self._index.resolve_relative(path, level, dotted) for level, dotted in fact["relative"]}
        for dotted in fact["absolute"]:
            if dotted.partition(".")[0] not in STANDARD_LIBRARY:
                found.add(self._resolve(path, dotted))
        return frozenset(file for file in found if file is not None and file != path)

    def _resolve(self, path: str, dotted: str) -> str | None:
        """Return the file that is imported. If there is none, add the import to those of others, and return None."""
        top = dotted.partition(".")[0]
        declared = self.declarations.of_others.find(dotted, only_sure=True)
        file = self._index.resolve_absolute(path, dotted, rooted_only=declared is not None)
        if file is None and declared is None:
            file = self._index.resolve_nearby(path, dotted)
        if file is not None or top in OTHER_STANDARD_LIBRARY:
            return file
        declared = declared or self.declarations.of_others.find(dotted)
        if declared is not None:
            self._add_foreign(top, declared)
        elif self._index.is_namespace(path, top):
            # The name is the tree's own. What else the namespace has is not known to anybody but the table.
            self._add_known(top, known_below_namespace(dotted))
        elif canonical_name(top) not in self.declarations.own:
            self._add_foreign(top, *distributions_for(dotted)[:1])
        return None

    def _add_known(self, top: str, distributions: Sequence[str]) -> None:
        if distributions:
            self._add_foreign(top, distributions[0])

    def _add_foreign(self, top: str, *distributions: str) -> None:
        self.foreign.add(top)
        self.packages.update(name for name in distributions if name not in self.declarations.own)


COLLECTOR = Deps()
