"""Shared by the parity tests: source trees, the tools' command lines, and our collectors without the engine."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack

from collectors.contract import FileCollector, Totals
from collectors.source.source_tree import SourceFile, UnparsableError
from domain.metrics.report import Report
from tests.unit.collectors.source_trees import load_tree

PACKAGES = Path(sysconfig.get_path("purelib"))
STDLIB = Path(sysconfig.get_path("stdlib"))
CORPUS = Path(__file__).parents[1] / "corpus"

_NEEDS_PYTHON = re.compile(r"_py3(\d+)\.py$")


def corpus_files() -> list[Path]:
    """Return files with unusual syntax. A name that ends in `_py312` needs Python 3.12 to parse."""
    found = []
    for path in sorted(CORPUS.glob("*.py")):
        minor = _NEEDS_PYTHON.search(path.name)
        if minor is None or sys.version_info >= (3, int(minor[1])):
            found.append(path)
    return found


def copy_python(source: Path, target: Path) -> Path:
    """Copy a package's `.py` files, except symbolic links, to a new directory."""
    for path in sorted(source.rglob("*.py")):
        relative = path.relative_to(source)
        if path.is_file() and not path.is_symlink() and not {"site-packages", "__pycache__"} & set(relative.parts):
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)
    return target


def write_files(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def is_plain_utf_8(data: bytes) -> bool:
    """Return whether the data is UTF-8 without a BOM, the only encoding that radon and docstr-coverage decode."""
    try:
        return not data.decode().startswith("\ufeff")
    except UnicodeDecodeError:
        return False


def run_tool(*arguments: str | Path, codes: Iterable[int] = (0,), with_errors: bool = False) -> str:
    """Return the standard output of `python -m ARGUMENTS`, run in an empty directory without any configuration.

    `with_errors` appends standard error, where some tools write their report.
    """
    with tempfile.TemporaryDirectory(prefix="vibe8-") as empty:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", *arguments],
            cwd=empty,
            env={**os.environ, "HOME": empty, "PYTHONPATH": "", "PYTHONIOENCODING": "utf-8:surrogateescape"},
            capture_output=True,
            check=False,
        )
    assert run.returncode in codes, run.stderr.decode(errors="replace")[-2000:]
    return (run.stdout + (run.stderr if with_errors else b"")).decode("utf-8", "surrogateescape")


def run_radon(root: Path, command: str) -> dict[str, Any]:
    """Return `radon COMMAND --json` by path relative to the root; `{error: ...}` for a file on which radon fails."""
    report: dict[str, Any] = json.loads(run_tool("radon", command, "--json", root))
    return {path.removeprefix(f"{root}/"): value for path, value in report.items()}


def inspect_files(collector: FileCollector, root: Path) -> dict[str, Any]:
    """Return facts by path as the engine passes them to `summarize`: encoded by msgpack, without None."""
    facts = {}
    for entry in load_tree(root).entries:
        file = SourceFile(entry.path, entry.location.read_bytes())
        try:
            if not (collector.needs_syntax and file.parse_error):
                facts[entry.path] = msgpack.unpackb(msgpack.packb(collector.inspect(file)))
        except UnparsableError:
            continue
    return facts


def count_sloc(root: Path) -> dict[str, int | None]:
    """Return source lines by path; None for a file that does not parse."""
    files = [SourceFile(entry.path, entry.location.read_bytes()) for entry in load_tree(root).entries]
    return {file.path: file.line_counts.sloc if file.parse_error is None else None for file in files}


def run_file_collector(collector: FileCollector, root: Path) -> Report:
    """Return the collector's report of the tree under `root`."""
    return collector.summarize(inspect_files(collector, root), Totals(sloc=count_sloc(root)))
