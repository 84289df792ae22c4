"""How easy the code is to keep in order."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar

from radon.metrics import mi_compute

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, float_between
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Report


class Maintainability:
    """radon's maintainability index, 0..100, higher is better.

    Equals `radon mi --json`, not rounded, strings over several lines taken for comments (its default).

    - `mi_avg`: the mean over the files, each counting the same.
    - per file: `value`.

    With V Halstead's volume, G the file's cyclomatic complexity, L its logical lines and C its comment lines in per
    cent of its source lines, it is (171 - 5.2 ln V - 0.23 G - 16.2 ln L + 50 sin sqrt(2.46 radians(C))) * 100 / 171,
    kept within 0..100. Where nothing operates on anything (V = 0), or nothing is there, radon says 100; so does the
    average of no file.
    """

    name: ClassVar[str] = "mi"
    tool: ClassVar[str] = "radon"
    version: ClassVar[str] = version("radon")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("mi_avg",)
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = float_between(0.0, 100.0)

    def inspect(self, file: SourceFile) -> Facts:
        """The index, a float."""
        lines, code = file.line_counts, file.radon_measures
        comments = (lines.comments + lines.multi) / lines.sloc * 100 if lines.sloc else 0
        return float(mi_compute(code.halstead_volume, code.total_complexity, lines.lloc, comments))

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Average over the files."""
        if totals.files and not facts:
            return Report(aggregate=dict.fromkeys(self.fields), gaps=["mi: no file parses"])
        average = sum(facts.values()) / len(facts) if facts else 100.0
        return Report(aggregate={"mi_avg": average}, per_file={path: {"value": value} for path, value in facts.items()})


COLLECTOR = Maintainability()
