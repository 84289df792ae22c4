"""How large the code is."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, record, single
from collectors.source.line_counts import LineCounts
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Report


class Size:
    """Files and source lines.

    - `files`: the files of the tree, those included that do not parse.
    - `sloc`: source lines, as `radon raw` counts them: lines that are not blank, not a comment alone, and not part of
      a string that stands alone, such as a docstring.
    - `avg_file_sloc`: sloc / files that were counted, rounded down; 0 with none.
    - per file: `sloc`.

    radon needs no syntax tree for this, so a file that does not parse is counted too, as long as its tokens can be
    told apart; otherwise it has no number.
    """

    name: ClassVar[str] = "size"
    tool: ClassVar[str] = "radon"
    version: ClassVar[str] = version("radon")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("files", "sloc", "avg_file_sloc")
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = record(dict.fromkeys(LineCounts.__slots__, single(counts)))

    def inspect(self, file: SourceFile) -> Facts:
        """`{loc, lloc, sloc, comments, multi, single_comments, blank}`, in lines. Raises UnparsableError."""
        counts = file.line_counts
        return {name: getattr(counts, name) for name in counts.__slots__}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up."""
        sloc = sum(fact["sloc"] for fact in facts.values())
        return Report(
            aggregate={
                "files": len(totals.files),
                "sloc": sloc,
                "avg_file_sloc": sloc // len(facts) if facts else 0,
            },
            per_file={path: {"sloc": fact["sloc"]} for path, fact in facts.items()},
        )


COLLECTOR = Size()
