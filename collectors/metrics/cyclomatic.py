"""How many paths lead through the functions."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, strings, table
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Finding, Report
from domain.metrics.scoring import complexity_score

THRESHOLD = 10
"""A function above it is a finding: radon ranks it C (11..20), D (..30), E (..40) or F."""


class Cyclomatic:
    """McCabe's cyclomatic complexity of functions and methods.

    Equals `radon cc --json`: its top-level entries of type function or method. These are the functions in no other
    function, and the methods of classes in no other class; what is defined in a function is not counted at all.

    - `avg_cc`: the mean over these; 0.0 where there is none.
    - `complexity_score`: max(0, 100 - 5 * avg_cc).
    - per file: `max` (0 without a function) and `avg` (0.0).

    A function starts at 1. Each `if`, `elif`, conditional expression, `assert`, loop, loop's `else`, `except`, `try`'s
    `else`, comprehension and comprehension's `if` adds 1, `and` and `or` one less than they have operands, `match` its
    cases but for one that takes everything. A lambda counts with the function around it. As in radon, `except*` and
    `with` add nothing, and what stands in an assertion, a decorator, a parameter or an annotation is not looked at.
    """

    name: ClassVar[str] = "cyclomatic"
    tool: ClassVar[str] = "radon"
    version: ClassVar[str] = version("radon")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("avg_cc", "complexity_score")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = table(strings, counts, counts)

    def inspect(self, file: SourceFile) -> Facts:
        """`[[name, line, complexity]]`, a method's name being `Class.method`, in order of lines."""
        return [[item.name, item.line, item.complexity] for item in file.radon_measures.functions]

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Average over all functions, and per file."""
        if totals.files and not facts:
            return Report(aggregate=dict.fromkeys(self.fields), gaps=["cyclomatic: no file parses"])
        per_file = {path: [complexity for _, _, complexity in functions] for path, functions in facts.items()}
        everything = [complexity for complexities in per_file.values() for complexity in complexities]
        average = _mean(everything)
        return Report(
            aggregate={
                "avg_cc": average,
                "complexity_score": complexity_score(average),
            },
            per_file={path: {"max": max(found, default=0), "avg": _mean(found)} for path, found in per_file.items()},
            findings=[
                _finding(path, name, line, complexity)
                for path, functions in facts.items()
                for name, line, complexity in functions
                if complexity > THRESHOLD
            ],
        )


def _mean(numbers: list[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _finding(path: str, name: str, line: int, complexity: int) -> Finding:
    rank = "CDEF"[min((complexity - 1) // 10 - 1, 3)]
    return Finding(
        metric=Cyclomatic.name,
        rule=f"CC-{rank}",
        path=path,
        line=line,
        message=f"cyclomatic complexity {complexity}",
        function=name,
    )


COLLECTOR = Cyclomatic()
