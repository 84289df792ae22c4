"""Missing docstrings of each file, compared with `docstr-coverage --verbose 4`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collectors.metrics.docs import COLLECTOR
from collectors.source.source_tree import SourceFile
from tests.parity.support.comparison import (
    PACKAGES,
    STDLIB,
    copy_python,
    corpus_files,
    inspect_files,
    is_plain_utf_8,
    run_file_collector,
    run_tool,
    write_files,
)

PACKAGES_ON_CI = ["radon", "click", "httpx", "bandit"]
MORE_PACKAGES = [
    "typer",
    "packaging",
    "_pytest",
    "pydantic",
    "sqlalchemy",
    "pygments",
    "setuptools",
    "hypothesis",
    "mypy",
    "pip",
]
STDLIB_TOO_SLOW_FOR_THE_TOOL = ["test/test_typing.py"]

MODULE = "module"

BYTES = {
    "crlf.py": b'# docstr-coverage: inherited\r\n@property\r\ndef f():\r\n    pass\r\ndef g():\r\n    """\r\n  """\r\n',
    "form_feeds.py": b"\x0c\n# docstr-coverage: inherited\x0c\n\x0cclass C:\n\x0c    def f(self): '\x0c'\n",
    "separators.py": "# docstr-coverage: inherited\u2028\ndef f(): '\u2028'\n".encode(),
    "cookie.py": b"# coding: latin-1\n# docstr-coverage: inherited \xc3\xa4\ndef f(): pass\n",
    "tabs.py": b"class C:\n\t# docstr-coverage: inherited\n\tdef f(self):\n\t\t'''\t'''\n",
    "first_line.py": b"def f(): pass\n# docstr-coverage: inherited\ndef g(): pass",
    "below_a_continuation.py": b"x = 1 \\\n\n# docstr-coverage: inherited\ndef g(): pass",
}


@dataclass(slots=True)
class Coverage:
    """Number of docstrings that a file needs, and the definitions without one."""

    needed: int = 0
    missing: list[str] = field(default_factory=list)


def tool_coverage(root: Path) -> dict[str, Coverage]:
    coverage: dict[str, Coverage] = {}
    report = run_tool("docstr_coverage.cli", "--verbose", "4", root, codes=(0, 1), with_errors=True)
    for line in report.splitlines():
        if match := re.fullmatch(r'File: "(.*)"', line):
            current = coverage[match[1].removeprefix(f"{root}/")] = Coverage()
        elif match := re.fullmatch(r" - No docstring for `(.*)`", line):
            current.missing.append(match[1])
        elif line == " - No module docstring":
            current.missing.append(MODULE)
        elif match := re.fullmatch(r" Needed: (\d+); Found: (\d+); Missing: (\d+); Coverage: .*", line):
            current.needed = int(match[1])
            assert int(match[3]) == len(current.missing) == current.needed - int(match[2])
            current.missing.sort()
    return coverage


def our_coverage(root: Path) -> dict[str, Coverage]:
    return {
        path: Coverage(needed=fact["needed"], missing=sorted(_tool_name(name) for name, *_ in fact["missing"]))
        for path, fact in inspect_files(COLLECTOR, root).items()
    }


def _tool_name(name: str | None) -> str:
    """Return the name as the tool prints it, with the innermost scope only."""
    return MODULE if name is None else ".".join(name.split(".")[-2:])


def assert_same(root: Path) -> None:
    expected = tool_coverage(root)
    assert expected
    assert our_coverage(root) == expected
    total = float(run_tool("docstr_coverage.cli", "--percentage-only", root, codes=(0, 1)))
    assert run_file_collector(COLLECTOR, root).aggregate == {"coverage_pct": total}


def test_corpus_equals_docstr_coverage(tmp_path: Path) -> None:
    for path in corpus_files():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert_same(tmp_path)


def test_unusual_bytes_equal_docstr_coverage(tmp_path: Path) -> None:
    assert_same(write_files(tmp_path, BYTES))


@pytest.mark.parametrize("package", PACKAGES_ON_CI)
def test_package_equals_docstr_coverage(tmp_path: Path, package: str) -> None:
    assert_same(copy_python(PACKAGES / package, tmp_path / package))


@pytest.mark.slow
@pytest.mark.parametrize("package", MORE_PACKAGES)
def test_large_package_equals_docstr_coverage(tmp_path: Path, package: str) -> None:
    assert_same(copy_python(PACKAGES / package, tmp_path / package))


@pytest.mark.slow
def test_standard_library_equals_docstr_coverage(tmp_path: Path) -> None:
    root = copy_python(STDLIB, tmp_path / "lib")
    for name in STDLIB_TOO_SLOW_FOR_THE_TOOL:
        (root / name).unlink()
    for path in root.rglob("*.py"):
        file = SourceFile(str(path), path.read_bytes())
        if file.parse_error or not is_plain_utf_8(file.data):
            path.unlink()
    assert_same(root)
