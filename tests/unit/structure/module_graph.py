"""Which module refers to which: by imports, and by module names in strings."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ENTRY_POINT = ":"
"""Separates module and function: `worker.cli.app:main`."""


@dataclass(frozen=True, order=True)
class Reference:
    """One module's reference to another."""

    source: str
    target: str
    line: int
    by_name: bool  # in a string, where import-linter sees nothing

    def __str__(self) -> str:
        return f"{self.source}:{self.line} -> {self.target}{' (in a string)' if self.by_name else ''}"


def find_modules(root: Path, packages: tuple[str, ...]) -> dict[str, Path]:
    """Map the dotted name of each module of the packages to its file; a package's name is that of `__init__.py`."""
    found = {}
    for package in packages:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def find_references(modules: dict[str, Path]) -> list[Reference]:
    """List every reference from one of the modules to another."""
    return [
        Reference(source, target, line, by_name)
        for source, path in modules.items()
        for target, line, by_name in _targets(ast.parse(path.read_text()), modules)
        if target != source
    ]


def _targets(tree: ast.Module, modules: dict[str, Path]) -> Iterator[tuple[str, int, bool]]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            yield from ((name, node.lineno, False) for name in _imported(node, modules))
        elif isinstance(node, ast.expr) and id(node) not in docstrings:
            yield from ((name, node.lineno, True) for name in _named(node, modules))


def _imported(node: ast.stmt, modules: dict[str, Path]) -> list[str]:
    """Find the modules that the statement imports; `from package import name` may import the module `package.name`."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        names = []
    return [known for name in names if (known := _longest_known(name, modules))]


def _longest_known(name: str, modules: dict[str, Path]) -> str:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _named(node: ast.expr, modules: dict[str, Path]) -> list[str]:
    """Find the modules that the expression names in a string, or runs as a program."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.partition(ENTRY_POINT)[0]
        return [name] if "." in name and name in modules else []
    if isinstance(node, ast.JoinedStr):
        return _discovered(node, modules)
    if isinstance(node, ast.List | ast.Tuple):
        return _run_as_main(node.elts, modules)
    return _run_as_main(node.args, modules) if isinstance(node, ast.Call) else []


def _discovered(string: ast.JoinedStr, modules: dict[str, Path]) -> list[str]:
    """Find the modules that `f"package.{name}"` can name: all that are directly in the package."""
    first = string.values[0] if string.values else None
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.endswith(".")):
        return []
    package = first.value.removesuffix(".")
    return [name for name in modules if name.rpartition(".")[0] == package]


def _run_as_main(words: list[ast.expr], modules: dict[str, Path]) -> list[str]:
    """Find the packages that a command line such as `[python, "-m", "worker"]` runs."""
    values = [word.value if isinstance(word, ast.Constant) and isinstance(word.value, str) else "" for word in words]
    mains = [f"{name}.__main__" for option, name in pairwise(values) if option == "-m"]
    return [name for name in mains if name in modules]


def find_cycles(modules: dict[str, Path], references: list[Reference]) -> list[list[Reference]]:
    """Find circles between modules and packages beside each other, in every package, as import-linter does for imports.

    Returns for each circle one reference between each two neighbours.
    """
    cycles = []
    for package in sorted({name.rpartition(".")[0] for name in modules if "." in name}):
        edges: dict[str, dict[str, Reference]] = defaultdict(dict)
        for reference in sorted(references):
            source, target = _child(package, reference.source), _child(package, reference.target)
            if source and target and source != target:
                edges[source].setdefault(target, reference)
        cycle = _find_cycle(edges)
        if cycle:
            cycles.append([edges[source][target] for source, target in zip(cycle, [*cycle[1:], cycle[0]], strict=True)])
    return cycles


def _child(package: str, module: str) -> str | None:
    """Name the direct child of the package that is the module or contains it."""
    return module.removeprefix(f"{package}.").partition(".")[0] if module.startswith(f"{package}.") else None


def _find_cycle(edges: dict[str, dict[str, Reference]]) -> list[str]:
    """Find one circle by a depth-first search, or return an empty list."""
    finished: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in finished:
            return []
        for target in edges.get(node, {}):
            if cycle := visit(target, [*path, node]):
                return cycle
        finished.add(node)
        return []

    return next((cycle for node in edges if (cycle := visit(node, []))), [])
