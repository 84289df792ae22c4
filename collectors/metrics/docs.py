"""`docs`: the share of definitions that have a docstring, by the rules of docstr-coverage."""

import ast
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, record, single, strings, strings_or_none, table
from collectors.source.source_tree import SourceFile
from domain.findings.identity import MODULE, FindingIdentity, IdentityKind
from domain.findings.severity import docs_severity
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
from domain.metrics.severity import Falling
from domain.text import JSON

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_BLOCKS: Mapping[type[ast.AST], tuple[str, ...]] = {
    ast.Module: ("body",),
    ast.FunctionDef: ("body",),
    ast.AsyncFunctionDef: ("body",),
    ast.ClassDef: ("body",),
    ast.If: ("body", "orelse"),
    ast.For: ("body", "orelse"),
    ast.AsyncFor: ("body", "orelse"),
    ast.While: ("body", "orelse"),
    ast.With: ("body",),
    ast.AsyncWith: ("body",),
    ast.Try: ("body", "handlers", "orelse", "finalbody"),
    ast.TryStar: ("body", "handlers", "orelse", "finalbody"),
    ast.ExceptHandler: ("body",),
    ast.Match: ("cases",),
    ast.match_case: ("body",),
}
"""The fields of a node that contain statements. Definitions are statements, so no expression is visited."""

_EXCUSE_MARK = "docstr-coverage"
_EXCUSE = re.compile(rf"#\s*{_EXCUSE_MARK}\s*:\s*(?:inherit|excused?\s* `.*`)")
_DECORATOR_LINE = re.compile(r"\s*@")
_EXCUSED_DECORATORS = frozenset(("setter", "deleter"))


METRIC = MetricDeclaration(
    name="docs",
    tool="docstr-coverage",
    homepage="https://github.com/HunterMcGushion/docstr_coverage",
    version=version("docstr-coverage"),
    aggregate=(
        AggregateField(
            key="coverage_pct",
            meaning="100 * found / needed docstrings of all files together; 100.0 where none is needed.",
            json_type="number",
        ),
    ),
    file_metric=FileMetric(
        key="docs",
        fields=(
            FileField(
                key="value", number="coverage_pct", meaning="The same percentage of this file.", json_type="number"
            ),
        ),
        rated=RatedNumber(number="coverage_pct", meaning="Percentage of documented definitions."),
        thresholds=Falling(80, 50),
        health_input="docs",
        column=Column(heading="docs", of=("value",)),
        position=40,
    ),
    row=RowFormat(text="{coverage_pct:.1f} % documented", position=30),
    finding_identity=FindingIdentity(kind=IdentityKind.QUALIFIED_NAME, alerts=False),
    finding_rules=FindingRules(
        default=RuleText(
            "Definition without a docstring",
            "A reader has to read the body to learn what the module, class or function is for.",
            "Write one sentence that says what it is for, or what it returns.",
        )
    ),
)


class Docs:
    """Docstrings that exist, as a share of those that are needed.

    Equals `docstr-coverage` with its defaults. Every module that is not empty, every class, and every function and
    method at any depth, also a magic or private one, needs a docstring that is not blank. Setters and deleters of
    properties need none. A comment above a definition excuses it: `# docstr-coverage: inherited`, or
    ``# docstr-coverage: excused `reason` ``. Each missing docstring is a finding. Like the tool, it reads
    a file as UTF-8 whatever encoding that declares.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = record(
        {"needed": single(counts), "missing": table(strings_or_none, counts, strings)}
    )

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{needed, missing: [[name, line, line hash]]}`: the number needed, and those missing.

        The module's name is None. Raises UnparsableError where the file does not parse, or has an excuse and cannot
        be tokenized.
        """
        tree = file.utf_8_tree
        body = tree.body
        if not body:
            return {"needed": 0, "missing": []}
        needed = 1
        missing: list[list[Any]] = [] if _documented(body) else [[None, 1]]
        excuses = _Excuses(file.tokens) if _EXCUSE_MARK in file.utf_8_text else None
        for name, node in _definitions(tree):
            if _needs_none(node):
                continue
            needed += 1
            if not _documented(node.body) and not (excuses and excuses.covers(node.lineno)):
                missing.append([name, node.lineno])
        missing.sort(key=lambda item: item[1])
        line_hash = file.lines.line_hash
        return {"needed": needed, "missing": [[name, line, line_hash(line)] for name, line in missing]}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Compute the coverage of all files together, and of each."""
        if totals.files and not facts:
            return Report(aggregate=METRIC.without_value(), gaps=["docs: no file parses"])
        counts = {path: (fact["needed"], len(fact["missing"])) for path, fact in facts.items()}
        per_file = {
            path: {"coverage_pct": _coverage(needed, missing), "needed": needed, "missing": missing}
            for path, (needed, missing) in counts.items()
        }
        return Report(
            aggregate=self.aggregate(per_file, totals),
            per_file=per_file,
            findings=[_finding(path, *row) for path, fact in facts.items() for row in fact["missing"]],
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Compute the coverage of these files together; null where there are files but none of them parses."""
        if totals.files and not numbers:
            return METRIC.without_value()
        needed, missing = (sum(row[key] for row in numbers.values()) for key in ("needed", "missing"))
        return {"coverage_pct": _coverage(needed, missing)}


def _coverage(needed: int, missing: int) -> float:
    return (needed - missing) * 100 / needed if needed else 100.0


def _finding(path: str, name: str | None, line: int, line_hash: str) -> Finding:
    return Finding(
        metric=METRIC.name,
        rule="missing-docstring",
        severity=docs_severity(),
        path=path,
        line=line,
        message="missing module docstring" if name is None else f"missing docstring of {name}",
        function=name,
        identity=MODULE if name is None else name,
        line_hash=line_hash,
    )


def _definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield all definitions at any depth with their dotted names, in no particular order."""
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        block, owner = pending.pop()
        for field in _BLOCKS[type(block)]:
            for child in getattr(block, field):
                if isinstance(child, Definition):
                    name = f"{owner}.{child.name}" if owner else child.name
                    yield name, child
                    pending.append((child, name))
                elif type(child) in _BLOCKS:
                    pending.append((child, owner))


def _documented(body: Sequence[ast.stmt]) -> bool:
    """Return whether the first statement is a string that is not blank."""
    first = body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
        and not (first.value.value == "" or first.value.value.isspace())
    )


def _needs_none(node: Definition) -> bool:
    """Return whether the first decorator that docstr-coverage knows marks a setter or deleter."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id == "property":
            return False
        if isinstance(decorator, ast.Attribute) and decorator.attr in _EXCUSED_DECORATORS:
            return True
    return False


class _Excuses:
    """Excusing comments directly above definitions; decorators and blank lines may be between."""

    def __init__(self, tokens: Sequence[tokenize.TokenInfo]) -> None:
        self._tokens = tokens
        self._first: dict[int, int] = {}
        for index, token in enumerate(tokens):
            self._first.setdefault(token.start[0], index)

    def covers(self, line: int) -> bool:
        """Return whether the definition that starts at this line is excused."""
        index = self._first.get(line, 0) - 1
        while index >= 0:
            token = self._tokens[index]
            if not _may_be_between(token):
                return token.type == tokenize.COMMENT and _EXCUSE.match(token.string) is not None
            index -= 1
        return False


def _may_be_between(token: tokenize.TokenInfo) -> bool:
    return (
        token.type in (tokenize.NL, tokenize.NEWLINE)
        or (token.type == tokenize.NAME and token.string == "class")
        or _DECORATOR_LINE.match(token.line) is not None
    )


COLLECTOR = Docs()
