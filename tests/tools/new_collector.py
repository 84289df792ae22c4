"""`make collector NAME=...`: write a new collector's module, fixture and parity test, which fails until filled in.

docs/adding-a-collector.md says what to do next.
"""

import keyword
import re
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[2]

MODULE = Template('''\
"""`$name`: top-level statements. TODO: say what this metric measures, and by which tool."""

from collections.abc import Mapping
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, single
from collectors.source.source_tree import SourceFile
from domain.metrics.declaration import (
    AggregateField,
    Column,
    FileField,
    FileMetric,
    MetricDeclaration,
    RatedNumber,
    RowFormat,
)
from domain.metrics.report import Report
from domain.metrics.severity import Rising

METRIC = MetricDeclaration(
    name="$name",
    tool="$name",
    version="1",
    aggregate=(AggregateField(key="total", meaning="Top-level statements of all files."),),
    file_metric=FileMetric(
        key="$name",
        fields=(FileField(key="count", number="count", meaning="Top-level statements of this file."),),
        rated=RatedNumber(number="count", per_100_sloc=True, meaning="Top-level statements per 100 sloc."),
        thresholds=Rising(20, 50),
        column=Column(heading="$name", of=("count",)),
    ),
    row=RowFormat(text="{total} top-level statements"),
)


class $class_name:
    """Top-level statements.

    Equals ... TODO: name the tool's command line that gives the same number. This docstring is the metric's manual in
    docs/metrics.md.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = single(counts)

    def inspect(self, file: SourceFile) -> Facts:
        """Return the number of statements."""
        return len(file.tree.body)

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up; nulls where there are files but none of them parses."""
        if totals.files and not facts:
            return Report(aggregate=METRIC.without_value(), gaps=["$name: no file parses"])
        return Report(
            aggregate={"total": sum(facts.values())},
            per_file={path: {"count": count} for path, count in facts.items()},
        )


COLLECTOR = $class_name()
''')

FIXTURE = '''\
"""A sample for the parity test. TODO: add what the tool treats specially."""

import os

HERE = os.getcwd()
'''

PARITY_TEST = Template('''\
"""The numbers of `$name`, compared with those of its tool."""

from pathlib import Path

import pytest

from collectors.metrics.$name import COLLECTOR
from tests.parity.support.comparison import copy_python, run_file_collector

FIXTURE = Path(__file__).parent / "fixtures" / "$name"


def tool_counts(root: Path) -> dict[str, int]:
    """Return the tool's number of each file under the root, by relative path."""
    pytest.fail(
        "tests/parity/test_${name}_parity.py is not filled in: run the tool's command line over `root` "
        "(see tests/parity/support/comparison.py, run_tool) and return its number of each file"
    )


def test_fixture(tmp_path: Path) -> None:
    root = copy_python(FIXTURE, tmp_path / "tree")
    report = run_file_collector(COLLECTOR, root)
    assert {path: row["count"] for path, row in report.per_file.items()} == tool_counts(root)
''')


class InvalidNameError(ValueError):
    """The name cannot be that of a new collector. The message says why."""


def create(root: Path, name: str) -> list[Path]:
    """Write the three files below the root of a checkout, and return their paths. Raises InvalidNameError."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InvalidNameError(f"{name!r} is not a module name: use lower-case letters, digits and underscores")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    files = {
        root / "collectors" / "metrics" / f"{name}.py": MODULE.substitute(name=name, class_name=class_name),
        root / "tests" / "parity" / "fixtures" / name / "sample.py": FIXTURE,
        root / "tests" / "parity" / f"test_{name}_parity.py": PARITY_TEST.substitute(name=name),
    }
    taken = [path for path in files if path.exists()]
    if taken:
        raise InvalidNameError(f"{taken[0].relative_to(root)} exists already")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


def main() -> int:
    """Create the collector that the command line names; return exit code 2, with one line, for an invalid name."""
    try:
        paths = create(ROOT, " ".join(sys.argv[1:]))
    except InvalidNameError as error:
        sys.stderr.write(f"{error} (make collector NAME=...)\n")
        return 2
    for path in paths:
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    sys.stdout.write("Fill them in (docs/adding-a-collector.md), then run: make docs && make test\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
