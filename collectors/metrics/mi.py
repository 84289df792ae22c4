"""`mi`: the maintainability index of files, by radon."""

from collections.abc import Mapping
from importlib.metadata import version
from math import fsum
from typing import ClassVar

from radon.metrics import mi_compute

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, float_between
from collectors.source.source_tree import SourceFile
from domain.metrics.declaration import (
    AggregateField,
    Column,
    FileField,
    FileMetric,
    MetricDeclaration,
    Numbers,
    RatedNumber,
    RowFormat,
)
from domain.metrics.report import Report
from domain.metrics.severity import Falling
from domain.text import JSON

METRIC = MetricDeclaration(
    name="mi",
    tool="radon",
    homepage="https://radon.readthedocs.io",
    version=version("radon"),
    aggregate=(
        AggregateField(key="mi_avg", meaning="Mean over the files, unweighted; 100.0 without any.", json_type="number"),
    ),
    file_metric=FileMetric(
        key="maintainability",
        fields=(FileField(key="value", number="value", meaning="The file's index, 0..100.", json_type="number"),),
        rated=RatedNumber(number="value", meaning="radon's maintainability index, 0..100."),
        thresholds=Falling(70, 20),
        health_input="maintainability",
        column=Column(heading="mi", of=("value",)),
        position=50,
    ),
    row=RowFormat(text="maintainability index {mi_avg:.1f}", position=60),
)


class Maintainability:
    """radon's maintainability index, 0..100, higher is better.

    Equals `radon mi --json` without rounding, over exactly our file set (radon itself leaves out directories whose name
    begins with a dot). Strings over several lines count as comments, which is its default.

    With V Halstead's volume, G the file's cyclomatic complexity, L its logical lines and C its comment lines in percent
    of its source lines, the index is (171 - 5.2 ln V - 0.23 G - 16.2 ln L + 50 sin sqrt(2.46 radians(C))) * 100 / 171,
    limited to 0..100. For a file without operators (V = 0) or without code radon returns 100. radon reads a file as
    UTF-8 whatever encoding that declares, and so do we.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = float_between(0.0, 100.0)

    def inspect(self, file: SourceFile) -> Facts:
        """Return the index, a float. Raises UnparsableError."""
        lines, code = file.line_counts, file.radon_measures
        comments = (lines.comments + lines.multi) / lines.sloc * 100 if lines.sloc else 0
        return float(mi_compute(code.halstead_volume, code.total_complexity, lines.lloc, comments))

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Average over the files."""
        if totals.files and not facts:
            return Report(aggregate=METRIC.without_value(), gaps=["mi: no file parses"])
        per_file = {path: {"value": value} for path, value in facts.items()}
        return Report(aggregate=self.aggregate(per_file, totals), per_file=per_file)

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Average over these files; null where there are files but none of them parses."""
        if totals.files and not numbers:
            return METRIC.without_value()
        average = fsum(row["value"] for row in numbers.values()) / len(numbers) if numbers else 100.0
        return {"mi_avg": average}


COLLECTOR = Maintainability()
