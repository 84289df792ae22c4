"""Findings of whole trees, compared with `vulture --min-confidence 60`."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.metrics.dead_code import COLLECTOR
from tests.parity.support.comparison import (
    CORPUS,
    PACKAGES,
    STDLIB,
    copy_python,
    run_file_collector,
    run_tool,
    write_files,
)

LINE = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<text>.+ \(\d+% confidence), (?P<size>\d+) lines?\)")

CRAFTED = {
    "pkg/__init__.py": "from pkg.core import Engine, unused_but_package\n__all__ = ['Engine', 'exported']\n",
    "pkg/core.py": (
        "import logging, os.path as p, ssl\nfrom typing import *\nfrom . import sibling as other  # noqa: F401\n"
        "class Engine(logging.Handler):\n    def emit(self, record): return '%(local)s' % locals()\n"
        "    def handle(self, record): pass  # noqa: V105\n"
        "    def unused(self): return '{a.b[0].c}'.format(**locals())\n"
        "    @classmethod\n    def make(cls, *args, key=None, **kw): yield\n    __slots__ = ()\n"
        "def exported(): pass\nlocal = a = b = c = d = 1\n(e := 2)\n[f for f in ()]\nlambda g: 0\ndel c\n"
    ),
    "pkg/flow.py": (
        "def f(x):\n    while True:\n        if x: break\n    else:\n        never()\n"
        "    try:\n        return 1\n    except E:\n        raise\n    else:\n        never()\n    print()\n"
        "    if False: dead()\n    elif True: alive()\n    else: dead()\n    if True: pass\n"
        "    y = a if 0 else b\n    z = a if 1 else b\n    while []: pass\n    with x: return\n"
        "    for i in x: continue; print()\n"
    ),
    "pkg/match.py": (
        "match x:\n    case Point(left=0, top=t): pass\n    case {'k': v, **rest}: pass\n"
        "    case [*star]: pass\n"
    ),
    "pkg/comments.py": (
        "from typing import List, Dict, Set\nx = []  # type: List[int]\nprint(x)  # type: ignore\n"
        "def f(a, b):\n    # type: (Dict[str, int], int) -> None\n    for q in a:  # type: lambda zz: 1\n        pass\n"
    ),
    "pkg/stops.py": "first = 1\nsecond = []  # type: not an expression\nthird = used_by_nobody_else\n",
    "pkg/misplaced.py": "call(1,  # type: int\n)\nnever_seen = hides_nothing = 1\nprint(first, Engine.unused)\n",
    "pkg/noqa.py": (
        "x1 = 1  # noqa\nx2 = 1  #noqa\nx3 = 1  # noqa:V107\nx4 = 1  # noqa: E501,F841\n"
        "x5 = 1  # NoQa : V1\n\x0cx6 = 1\nx7 = 1  # noqa\n"
    ),
    "pkg/broken.py": "def oops(:\n",
    "pkg/hasattr.py": "hasattr(o, 'third'); getattr(o, 'never_seen', 1); getattr(o, n, 'no')\nexec('x1')\n",
    "tests/helpers.py": (
        "class TestThing:\n    def setup_method(self): pass\n    def test_a(self): pass\n"
        "def test_b(): pass\ndef help(): pass\n"
    ),
    "testing.py": "def test_c(): pass\n",
    "thing_test.py": "def test_d(): pass\ndef setup_module(): pass\n",
    "sub/nottest.py": "def test_e(): pass\n",
    "async.py": "async def g(x) -> int:\n    async for i in x: return\n    async with x as y: raise\n    await x\n",
    "scopes.py": (
        "global_ = 1\ndef h():\n    global global_, other\n    nonlocal_ = 1\n    def i():\n"
        "        nonlocal nonlocal_\n        nonlocal_ = 2\n"
    ),
    "enums.py": (
        "import enum\nclass Color(enum.Enum):\n    RED = 1\n    _ignore_ = []\n"
        "    def _generate_next_value_(name, *a): pass\n"
    ),
    "aliases_py312.py": "type Unused = int\ntype Used[T] = list[T]\nx: Used[int]\ndef f[T: Unused_too](y: T): pass\n",
    "unicode.py": "größe = 1\nﬁn = 2\nprint(fin)\n",
}  # fmt: skip


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a directory that vulture does not take for a test directory, like `/src`."""
    with tempfile.TemporaryDirectory(prefix="vibe8-") as directory:
        path = Path(directory).resolve() / "src"
        assert "/test" not in str(path), "vulture looks for /test in absolute paths: set TMPDIR to another directory"
        path.mkdir()
        yield path


Reported = list[tuple[str, int, int | None, str]]
"""Path, first line, last line, message."""


def vulture_findings(root: Path) -> Reported:
    # Exit code 1: a file cannot be read or parsed, and nothing was found; 3: something was found.
    output = run_tool("vulture", "--min-confidence", "60", "--sort-by-size", root, codes=(0, 1, 3))
    found: Reported = []
    for line in output.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        first, size = int(match["line"]), int(match["size"])
        found.append((match["path"].removeprefix(f"{root}/"), first, first + size - 1, f"{match['text']})"))
    return sorted(found)


def assert_same(root: Path) -> Reported:
    """Compare all findings and return them."""
    expected = vulture_findings(root)
    report = run_file_collector(COLLECTOR, root)
    assert sorted((item.path, item.line, item.end_line, item.message) for item in report.findings) == expected
    assert report.aggregate["unused_symbols"] == len(expected)
    for path, row in report.per_file.items():
        assert row["count"] == sum(place == path for place, *_ in expected)
    return expected


def test_crafted_tree_equals_vulture(root: Path) -> None:
    write_files(root, {path: text.encode() for path, text in CRAFTED.items()})
    assert len(assert_same(root)) > 40


@pytest.mark.parametrize("path", sorted(CRAFTED))
def test_crafted_file_on_its_own_equals_vulture(root: Path, path: str) -> None:
    write_files(root, {path: CRAFTED[path].encode()})
    assert_same(root)


def test_corpus_equals_vulture(root: Path) -> None:
    """Some files need a newer Python: vulture skips them and continues, and so does the collector."""
    assert len(assert_same(copy_python(CORPUS, root / "corpus").parent)) > 100


@pytest.mark.parametrize("package", ["radon", "bandit", "click", "psutil", "greenlet", "typer"])
def test_package_equals_vulture(root: Path, package: str) -> None:
    copy_python(PACKAGES / package, root / package)
    assert assert_same(root)


def test_several_packages_and_a_file_that_does_not_parse_equal_vulture(root: Path) -> None:
    for package in ("_pytest", "httpx", "httpcore", "structlog", "packaging"):
        copy_python(PACKAGES / package, root / "lib" / package)
    (root / "broken.py").write_text("def (\n")
    assert assert_same(root)


@pytest.mark.slow
def test_standard_library_equals_vulture(root: Path) -> None:
    assert len(assert_same(copy_python(STDLIB, root / "lib").parent)) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sqlalchemy", "hypothesis", "mypy", "pydantic", "pygments", "setuptools", "pip"])
def test_large_package_equals_vulture(root: Path, package: str) -> None:
    copy_python(PACKAGES / package, root / package)
    assert assert_same(root)
