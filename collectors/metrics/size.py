"""`size`: files and source lines, counted as radon counts them."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, record, single
from collectors.source.line_counts import LineCounts
from collectors.source.source_tree import SourceFile
from domain.metrics.declaration import AggregateField, FileField, FileMetric, MetricDeclaration, Numbers, RowFormat
from domain.metrics.report import Report
from domain.text import JSON

METRIC = MetricDeclaration(
    name="size",
    tool="radon",
    homepage="https://radon.readthedocs.io",
    version=version("radon"),
    aggregate=(
        AggregateField(key="files", meaning="Files of the tree, including those that do not parse."),
        AggregateField(
            key="sloc",
            meaning="Source lines, as `radon raw` counts them: lines that are not blank, not only a comment, and not "
            "part of a string that is a statement of its own, such as a docstring.",
        ),
        AggregateField(key="avg_file_sloc", meaning="sloc / files that could be counted, rounded down; 0 without any."),
    ),
    file_metric=FileMetric(
        key="size",
        fields=(FileField(key="sloc", number=None, meaning="Source lines of this file."),),
        position=90,
    ),
    row=RowFormat(text="{files} files, {sloc} source lines, {avg_file_sloc} a file", position=70),
)


class Size:
    """Files and source lines.

    radon needs no syntax tree to count lines. A file that does not parse is therefore counted too if it can be
    tokenized; otherwise it has no number.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = record(dict.fromkeys(LineCounts.__slots__, single(counts)))

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{loc, lloc, sloc, comments, multi, single_comments, blank}`, in lines. Raises UnparsableError."""
        counts = file.line_counts
        return {name: getattr(counts, name) for name in counts.__slots__}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up; the lines are null where there are files and none of them can be counted."""
        per_file = {path: {"sloc": fact["sloc"]} for path, fact in facts.items()}
        gaps = ["size: no file can be counted"] if totals.files and not facts else []
        return Report(aggregate=self.aggregate(per_file, totals), per_file=per_file, gaps=gaps)

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Add up the lines of these files; nulls where there are files and none of them can be counted."""
        files = len(totals.files)
        if files and not numbers:
            return {**METRIC.without_value(), "files": files}
        sloc = sum(row["sloc"] for row in numbers.values())
        return {"files": files, "sloc": sloc, "avg_file_sloc": sloc // len(numbers) if numbers else 0}


COLLECTOR = Size()
