"""Findings of each file, rule and place, compared with `ruff check`, with and without `--ignore-noqa`."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.contract import TREE_PATH, Totals
from collectors.metrics import lint
from domain.metrics.report import Report
from domain.text import one_line
from tests.parity.support.comparison import (
    CORPUS,
    PACKAGES,
    STDLIB,
    copy_python,
    count_sloc,
    inspect_files,
    write_files,
)
from tests.unit.collectors.source_trees import load_tree

PACKAGES_ON_CI = ["sqlalchemy", "bandit", "arq", "_pytest", "redis", "pip"]

Place = tuple[int | None, int | None, int | None, int | None]
"""Line, column, end line, end column."""

Reported = Counter[tuple[str, str, Place, str]]

BYTES = {
    "plain.py": b"import os\n",
    "crlf.py": b"import os\r\nimport sys  # noqa\r\n",
    "carriage_returns.py": b"import os\rimport sys  # noqa\rx = 1\r",
    "bom.py": b"\xef\xbb\xbfimport os  # noqa: F401\nimport sys\n",
    "latin_1.py": b"# coding: latin-1\nimport os\nx = '\xe9'\n",
    "utf_16.py": "import os\n".encode("utf-16"),
    "nul.py": b"import os\n\0\n",
    "empty.py": b"",
    "no_final_newline.py": b"import os # noqa",
    "broken.py": b"def f(:\n    import os\n  x\n",
    "broken_with_noqa.py": b"import os  # noqa\ndef f(:\n    import os  # noqa\n",
    "python_2.py": b"import os\nprint os\nexec 'x'\n",
    "generics.py": b"import os\ntype A[T] = list[T]\ndef f[T](x: T): return f'{f'{x}'}'\n",
    "bidirectional.py": "x = '\u202e'  # \u202e\n".encode(),
    "build/lib/a.py": b"import os\n",
    "dist/a.py": b"import os\n",
    ".direnv/a.py": b"import os\n",
    ".hidden/.a.py": b"import os\n",
    "Bad-Package/__init__.py": b"",
    "Bad-Package/ModuleName.py": b"import os\n",
    "src/own/__init__.py": b"",
    "src/own/a.py": b"import own.b\nimport requests\nimport os\nprint(own, os, requests)\n",
    "neighbour.py": b"import plain\nimport zlib\nimport own\nprint(plain, zlib, own)\n",
    "__init__.py": b"from .plain import os\n",
    "run_me.py": b"#!/usr/bin/env python\nprint(1)\n",
    "run_me_too.py": b"print(1)\n",
    "not_to_run.py": b"#!/usr/bin/env python\nprint(1)\n",
    "suppressed.py": (
        b"import os  # noqa\nimport sys  # noqa: F401, E501\nimport re  # noqa:F401,W605\nimport ast  # NOQA : F401\n"
        b"import abc  # ruff: ignore[F401]\n# ruff: disable[F401]\nimport csv\n# ruff: enable[F401]\n"
        b"x = 1  # noqa\nx == 2  # noqa: B015 # noqa: XYZ1\nx == 3  # noqa : B018\n"
        b"# noqa\nx == 4\n'''\nx\n'''  # noqa\n"
        b"# isort: off\nimport zlib\nimport bz2\n# isort: on\n"
    ),
    "suppressed_file.py": b"# ruff: noqa: F401\nimport os\nx == 1\n",
    "suppressed_whole_file.py": b"# flake8: noqa\nimport os\nx == 1\n",
    "suppressed_ignored_file.py": b"# ruff: file-ignore[F401]\nimport os\nx == 1\n",
    "suppressed_wrongly.py": (
        b"# ruff: noqa F401\nimport os\n# ruff: noqa: nothing\nx = 1 # noqa:\nimport re # noqa F401\n"
    ),
}


def run_ruff(root: Path, *options: str) -> Reported:
    """Return ruff's findings as (path, code, place, message)."""
    command = ["check", "--isolated", "--no-cache", "--no-respect-gitignore", "--config", "exclude = []"]
    run = subprocess.run(
        [find_ruff_bin(), *command, "--output-format", "json", *options, "."],
        cwd=root,
        capture_output=True,
        check=False,
        env={**os.environ, "RUST_MIN_STACK": str(64 * 1024 * 1024)},
    )
    assert run.returncode in (0, 1), run.stderr
    prefix = f"{os.path.realpath(root)}/"
    findings = [
        (item["filename"].removeprefix(prefix), item["code"], place(item), one_line(item["message"]))
        for item in json.loads(run.stdout)
    ]
    return Counter(findings)


def place(item: Mapping[str, Any]) -> Place:
    start, end = item["location"], item["end_location"]
    return start["row"], start["column"], end["row"], end["column"]


def run_lint(root: Path) -> Report:
    sloc = count_sloc(root)
    facts = inspect_files(lint.COLLECTOR, root)
    facts[TREE_PATH] = lint.COLLECTOR.collect_tree(load_tree(root))
    return lint.COLLECTOR.summarize(facts, Totals(sloc=sloc))


def by_path(reported: Reported) -> Counter[str]:
    return Counter(path for path, *_ in reported.elements())


def assert_same(root: Path) -> Report:
    report = run_lint(root)
    visible = run_ruff(root)
    everything = run_ruff(root, "--ignore-noqa")
    ours = Counter(
        (item.path, item.rule, (item.line, item.column, item.end_line, item.end_column), item.message)
        for item in report.findings
    )
    assert ours == visible
    assert report.gaps == []
    assert report.aggregate["total"] == visible.total()
    assert +Counter({path: row["count"] for path, row in report.per_file.items()}) == by_path(visible)
    hidden = by_path(everything - visible)
    assert +Counter({path: row["suppressed"] for path, row in report.per_file.items()}) == hidden
    assert report.aggregate["suppressed"] == hidden.total()
    return report


def test_unusual_files_equal_ruff(tmp_path: Path) -> None:
    root = write_files(tmp_path / "tree", BYTES)
    for name in ("run_me.py", "run_me_too.py"):
        (root / name).chmod(0o755)
    report = assert_same(root)
    assert report.aggregate["suppressed"] > 10
    rules = {finding.rule for finding in report.findings}
    assert {"invalid-syntax", "E902", "EXE001", "EXE002", "N999", "I001", "RUF100"} <= rules


def test_corpus_equals_ruff(tmp_path: Path) -> None:
    assert assert_same(copy_python(CORPUS, tmp_path / "tree")).findings


@pytest.mark.parametrize("package", PACKAGES_ON_CI)
def test_package_equals_ruff(package: str, tmp_path: Path) -> None:
    assert assert_same(copy_python(PACKAGES / package, tmp_path / package)).findings


def test_version_is_the_installed_one() -> None:
    output = subprocess.run([find_ruff_bin(), "--version"], capture_output=True, check=True, text=True).stdout
    assert output == f"ruff {lint.COLLECTOR.metric.version}\n"
    assert lint.COLLECTOR.metric.version == version("ruff")


@pytest.mark.slow
def test_standard_library_equals_ruff(tmp_path: Path) -> None:
    assert len(assert_same(copy_python(STDLIB, tmp_path / "stdlib")).findings) > 10_000
