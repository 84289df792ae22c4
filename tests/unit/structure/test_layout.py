"""Sizes that keep the code readable: entries of a folder, lines of a module, lines of a function."""

import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from tests.unit.deploy.project_files import ROOT

PACKAGES = ("worker", "collectors", "infrastructure", "domain", "clients")
MAX_ENTRIES = 13
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40

DATA = ("tests/parity/corpus", "tests/parity/fixtures", "tests/parity/goldens")
"""Inputs and expected outputs; nobody reads them as code."""

LARGE_FOLDERS = {
    "domain": "one module for each noun of the program, and a folder for each set of rules",
    "tests/unit/domain": "as the domain",
    "tests/parity/corpus": "one tree of analysed code for each language feature",
}
LONG_MODULES = {
    "tests/hostile/sources/test_upload_git.py": "all attacks through one upload format, each a short test",
    "tests/hostile/support/attacks.py": "the list of what a child may try, a function each",
    "tests/integration/infrastructure/outbound/test_package_index.py": "all that one HTTP client must survive",
}
LONG_FUNCTIONS = {
    "worker/process/bootstrap.py:open_services": "the one composition root",
    "collectors/source/syntax_walk.py:walk_syntax_tree": "every node passes here, so the loop is flat",
    "tests/unit/collectors/dependencies/test_manifests.py:test_pyproject_declares_its_dependencies": "one manifest",
}


def committed_files() -> list[PurePath]:
    listing = subprocess.check_output(["git", "ls-files", "-z", *PACKAGES, "tests"], cwd=ROOT, text=True)  # noqa: S607
    return [PurePath(name) for name in listing.split("\0") if name and (ROOT / name).exists()]


FILES = committed_files()


def modules() -> Iterator[str]:
    for path in FILES:
        if path.suffix == ".py" and not str(path).startswith(DATA):
            yield str(path)


def function_lengths(module: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its lines without signature and docstring."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            yield node.name, (node.end_lineno or 0) - body[0].lineno + 1


def test_each_folder_can_be_read_like_a_table_of_contents() -> None:
    entries: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for parent in path.parents[:-1]:
            entries[str(parent)].add(path.parts[len(parent.parts)])
    entries = {folder: names - {"py.typed"} for folder, names in entries.items()}  # a marker, not something to read
    large = {folder: len(names) for folder, names in entries.items() if len(names) > MAX_ENTRIES}
    assert {folder: count for folder, count in large.items() if folder not in LARGE_FOLDERS} == {}
    assert set(LARGE_FOLDERS) <= set(large), "an exception is no longer needed"


def test_each_test_module_has_a_name_of_its_own() -> None:
    """Without packages in `tests`, pytest cannot import two modules of one name."""
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_each_module_is_short_enough_to_read() -> None:
    lengths = {module: len((ROOT / module).read_text().splitlines()) for module in modules()}
    long = {module: count for module, count in lengths.items() if count > MAX_MODULE_LINES}
    assert {module: count for module, count in long.items() if module not in LONG_MODULES} == {}
    assert set(LONG_MODULES) <= set(long), "an exception is no longer needed"


def test_each_function_is_short_enough_to_read() -> None:
    lengths = {f"{module}:{name}": count for module in modules() for name, count in function_lengths(module)}
    long = {function: count for function, count in lengths.items() if count > MAX_FUNCTION_LINES}
    assert {function: count for function, count in long.items() if function not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception is no longer needed"


def fixture_names(module: str) -> set[str]:
    return {
        node.name
        for node in ast.parse((ROOT / module).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("pytest.fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def test_shared_fixtures_are_not_defined_again_in_a_test() -> None:
    tests = [module for module in modules() if module.startswith("tests/")]
    shared = {name for module in tests if module.startswith("tests/fixtures/") for name in fixture_names(module)}
    assert {"system", "client", "redis", "git_server"} <= shared
    again = {module: shared & fixture_names(module) for module in tests if not module.startswith("tests/fixtures/")}
    assert {module: names for module, names in again.items() if names} == {}


def test_no_exception_is_frozen() -> None:
    """contextlib sets the traceback of an exception that passes it, and fails at one whose attributes cannot be set."""
    frozen = [
        f"{module}: {node.name}"
        for module in modules()
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        if isinstance(node, ast.ClassDef)
        and any("Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases)
        and any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert frozen == []
