"""`cyclomatic`: McCabe's complexity of functions, by radon."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, counts_or_none, strings, strings_or_none, table
from collectors.source.radon_measures import FunctionComplexity
from collectors.source.source_lines import column_at
from collectors.source.source_tree import SourceFile
from domain.findings.identity import FindingIdentity, IdentityKind
from domain.findings.severity import complexity_severity
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
from domain.metrics.report import Finding, Report
from domain.metrics.rule_texts import FindingRules, RuleText
from domain.metrics.scoring import complexity_score
from domain.metrics.severity import Rising
from domain.text import JSON

THRESHOLD = 10
"""A function above it is a finding: radon ranks it C (11..20), D (..30), E (..40) or F."""

METRIC = MetricDeclaration(
    name="cyclomatic",
    tool="radon",
    homepage="https://radon.readthedocs.io",
    version=version("radon"),
    aggregate=(
        AggregateField(
            key="avg_cc", meaning="Mean over the functions and methods; 0.0 without any.", json_type="number"
        ),
        AggregateField(
            key="complexity_score",
            meaning="max(0, 100 - 5 * avg_cc): 0..100, higher is better.",
            json_type="number",
        ),
        AggregateField(key="functions", meaning="The functions and methods."),
        AggregateField(key="complex_functions", meaning="Those of them whose complexity is above 10."),
    ),
    file_metric=FileMetric(
        key="complexity",
        fields=(
            FileField(key="value", number="max", meaning="The most complex function; 0 without a function."),
            FileField(
                key="avg", number="avg", meaning="Mean of the file's functions; 0.0 without any.", json_type="number"
            ),
        ),
        rated=RatedNumber(number="max", meaning="McCabe's number of the file's most complex function."),
        thresholds=Rising(5, 10),
        health_input="complexity",
        column=Column(heading="cc", of=("value",)),
        position=10,
    ),
    row=RowFormat(text="average complexity {avg_cc:.2f}", score="complexity_score", position=20),
    finding_identity=FindingIdentity(kind=IdentityKind.QUALIFIED_NAME, rule_family="CC"),
    finding_rules=FindingRules(
        default=RuleText(
            "Function with many branches",
            "Each branch doubles the cases to think of, and most of them are not tested. The letter grades McCabe's "
            "number: C from 11, D from 21, E from 31, F from 41 on.",
            "Split the function, return early, or replace branches by a table.",
        )
    ),
)


class Cyclomatic:
    """McCabe's cyclomatic complexity of functions and methods.

    Equals `radon cc --json` over exactly our file set (radon itself leaves out directories whose name begins with a
    dot): its top-level entries of type function or method. These are the functions that are in no
    other function, and the methods of classes that are in no other class. Definitions inside a function are not
    counted. A function whose complexity is above 10 is a finding.

    A function starts at 1. Each `if`, `elif`, conditional expression, `assert`, loop, loop's `else`, `except`, `try`'s
    `else`, comprehension and comprehension's `if` adds 1; `and` and `or` add one less than they have operands; `match`
    adds the number of its cases without one that matches everything. A lambda counts with the function around it. As
    in radon, `except*` and `with` add nothing, and the contents of assertions, decorators, parameters and annotations
    are ignored. radon reads a file as UTF-8 whatever encoding that declares, and so do we.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = table(
        strings, counts, counts, counts_or_none, counts_or_none, strings_or_none, strings_or_none
    )

    def inspect(self, file: SourceFile) -> Facts:
        """Return `[[name, line, complexity, column, end line, line hash, location hash]]` in order of lines.

        A method's name is `Class.method`. What follows the complexity is None unless it is above the threshold. Raises
        UnparsableError.
        """
        return [
            [item.name, item.line, item.complexity, *(_place(item, file) if item.complexity > THRESHOLD else _NO_PLACE)]
            for item in file.radon_measures.functions
        ]

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Average over all functions, and over those of each file."""
        if totals.files and not facts:
            return Report(aggregate=METRIC.without_value(), gaps=["cyclomatic: no file parses"])
        by_file = {path: [row[2] for row in functions] for path, functions in facts.items()}
        per_file = {
            path: {
                "max": max(found, default=0),
                "avg": _mean(found),
                "functions": len(found),
                "sum": sum(found),
                "complex": sum(complexity > THRESHOLD for complexity in found),
            }
            for path, found in by_file.items()
        }
        return Report(
            aggregate=self.aggregate(per_file, totals),
            per_file=per_file,
            findings=[
                _finding(path, row) for path, functions in facts.items() for row in functions if row[2] > THRESHOLD
            ],
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Average over the functions of these files; nulls where there are files but none of them parses."""
        if totals.files and not numbers:
            return METRIC.without_value()
        functions = sum(row["functions"] for row in numbers.values())
        average = sum(row["sum"] for row in numbers.values()) / functions if functions else 0.0
        return {
            "avg_cc": average,
            "complexity_score": complexity_score(average),
            "functions": functions,
            "complex_functions": sum(row["complex"] for row in numbers.values()),
        }


def _mean(numbers: list[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


_NO_PLACE = (None, None, None, None)


def _place(item: FunctionComplexity, file: SourceFile) -> list[Any]:
    column = column_at(file.utf_8_lines, item.line, item.node.col_offset)
    return [column, item.end_line, file.lines.line_hash(item.line), file.lines.location_hash(item.line)]


def _finding(path: str, row: list[Any]) -> Finding:
    name, line, complexity, column, end_line, line_hash, location_hash = row
    rank = "CDEF"[min((complexity - 1) // 10 - 1, 3)]
    return Finding(
        metric=METRIC.name,
        rule=f"CC-{rank}",
        severity=complexity_severity(complexity),
        path=path,
        line=line,
        column=column,
        end_line=end_line,
        message=f"cyclomatic complexity {complexity}",
        function=name,
        identity=name,
        line_hash=line_hash,
        location_hash=location_hash,
    )


COLLECTOR = Cyclomatic()
