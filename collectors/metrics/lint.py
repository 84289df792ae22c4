"""`lint`: issues by ruff's default rules."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from collectors.contract import TREE_PATH, Facts, Totals
from collectors.schemas import Schema, counts, row, strings, strings_or_none, table, tables
from collectors.source.scopes import scope_lookup
from collectors.source.source_lines import SourceLines
from collectors.source.source_tree import FileEntry, SourceFile, SourceTree
from collectors.tools.ruff_rule_texts import RULES
from collectors.tools.ruff_runner import Diagnostic, RuffResult, RuffRunner
from domain.findings.identity import FindingIdentity, IdentityKind, TreeRules
from domain.findings.severity import lint_severity
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
from domain.metrics.scoring import linting_score
from domain.metrics.severity import Rising
from domain.text import JSON

SECONDS = 100.0
"""The time limit of all runs of ruff together, below that of a collector: results so far are kept when it ends."""

_COMMENT = re.compile(rb"noqa|ruff", re.IGNORECASE)
"""Found in every comment that silences ruff: `noqa`, `ruff: noqa`, `flake8: noqa`, `ruff: ignore[...]`."""

_TREE_RULES = TreeRules(exceptions=("I001",))
"""Whether an import is the tree's own depends on all files."""

METRIC = MetricDeclaration(
    name="lint",
    tool="ruff",
    homepage="https://docs.astral.sh/ruff/",
    version=version("ruff"),
    aggregate=(
        AggregateField(
            key="total",
            meaning="Issues that ruff reports. Syntax errors count as ruff counts them, perhaps several for one file.",
        ),
        AggregateField(
            key="suppressed",
            meaning="Issues that comments hide: those that `--ignore-noqa` reports in addition.",
        ),
        AggregateField(
            key="linting_score",
            meaning="max(0, 100 - 5 * issues per 100 sloc): 0..100, higher is better. Null if no line can be counted.",
            json_type="number",
        ),
    ),
    file_metric=FileMetric(
        key="lint",
        fields=(
            FileField(key="count", number="count", meaning="Issues in this file."),
            FileField(key="suppressed", number="suppressed", meaning="Issues in it that comments hide."),
        ),
        rated=RatedNumber(number="count", per_100_sloc=True, meaning="Lint issues per 100 sloc."),
        thresholds=Rising(2, 8),
        health_input="lint",
        column=Column(heading="lint", of=("count",)),
        position=20,
    ),
    row=RowFormat(text="{total} issues, {suppressed} suppressed", score="linting_score", position=10),
    finding_identity=FindingIdentity(kind=IdentityKind.LINE_HASH, tree_rules=_TREE_RULES),
    finding_rules=RULES,
)


class Lint:
    """Issues by ruff's default rules.

    Equals `ruff check --isolated --no-cache --no-respect-gitignore` over exactly our file set, run from its root.
    ruff's own default exclusions (`build`, `dist`, `.direnv`, ...) do not apply. ruff also asks for the names of the
    tree's other entries, to tell the tree's own modules from those of others; they are kept for it.

    Some rules look at more than a file's bytes: at names, mode bits and neighbouring modules. Therefore ruff runs as a
    process of its own over the tree on disk. A second run, without regard to silencing comments, takes only the files
    that may contain such a comment. A file on which ruff crashes (an expression tens of thousands deep) has no number
    and is named in `gaps`. The map collects from each file only where its functions are, which ruff does not report.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = table(strings, counts, counts)
    answer_schema: ClassVar[Schema] = row(
        counts, counts, tables(strings, counts, counts, counts, counts, strings, strings, strings_or_none)
    )

    def inspect(self, file: SourceFile) -> Facts:
        """Return `[[dotted name, first line, last line]]` of every function and class, outer before inner."""
        return [list(scope) for scope in file.scopes]

    def collect_tree(self, tree: SourceTree) -> Facts:
        """Run ruff: return `{"files": {path: [count, suppressed]}, "findings": [...], "gaps": [...]}`.

        A finding is `[path, *row]` with a row as in an answer; a count is None where ruff failed. Raises RuffError.
        """
        return self.collect_incremental(tree, {})[0]

    def collect_incremental(self, tree: SourceTree, known: Mapping[str, Facts]) -> tuple[Facts, Mapping[str, Facts]]:
        """Return the same facts after running ruff on the files without a known answer; and the new answers.

        An answer is `[count, suppressed, [row]]`. A row is `[code, line, column, end line, end column, message, line
        hash, location hash]`.
        """
        unknown = [entry for entry in tree.entries if entry.path not in known]
        ruff = RuffRunner(tree, SECONDS)
        visible = ruff.check(unknown)
        commented = [entry for entry in unknown if entry.path in visible.diagnostics and _has_comment(entry)]
        everything = ruff.check(commented, ignore_comments=True)
        new = {
            entry.path: [*_numbers(entry.path, visible, everything), _findings(entry, visible.diagnostics)]
            for entry in unknown
        }
        answers = {**known, **new}
        facts = {
            "files": {entry.path: answers[entry.path][:2] for entry in tree.entries},
            "findings": [[path, *finding] for path in sorted(answers) for finding in answers[path][2]],
            "gaps": [
                *(f"{path}: lint skipped: {reason}" for path, reason in sorted(visible.failures.items())),
                *(f"{path}: lint: suppressed not counted: {why}" for path, why in sorted(everything.failures.items())),
            ],
        }
        return facts, new

    def answer_trees(self, trees: Sequence[SourceTree]) -> Sequence[Mapping[str, Facts]]:
        """Run ruff once for all trees that hold a single file.

        ruff takes longer to start than to check a small file. Its answer for a file without neighbours depends on the
        directories above it only if the file is an `__init__.py`.
        """
        lone = {number: tree for number, tree in enumerate(trees) if _is_lone_file(tree)}
        if len(lone) < 2:
            return [{} for _ in trees]
        root = Path(os.path.commonpath([tree.root for tree in lone.values()]))
        entries = tuple(replace(tree.entries[0], path=str(number)) for number, tree in lone.items())
        together = SourceTree(root=root, entries=entries, process_control=trees[0].process_control)
        _, answers = self.collect_incremental(together, {})
        known = {number: answers[str(number)] for number in lone if self.answer_schema.matches(answers[str(number)])}
        return [{tree.entries[0].path: known[number]} if number in known else {} for number, tree in enumerate(trees)]

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up, and assign each finding to its function; nulls where ruff failed on every file."""
        of_tree = facts[TREE_PATH]
        numbers = {path: {"count": row[0], "suppressed": row[1]} for path, row in of_tree["files"].items()}
        return Report(
            aggregate=self.aggregate(numbers, totals),
            per_file=numbers,
            findings=list(_with_functions(of_tree["findings"], facts)),
            gaps=of_tree["gaps"],
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Add up the issues of these files; nulls where there are files and ruff failed on each."""
        counted = [row for row in numbers.values() if row["count"] is not None]
        if numbers and not counted:
            return METRIC.without_value()
        total = sum(row["count"] for row in counted)
        return {
            "total": total,
            "suppressed": sum(row["suppressed"] or 0 for row in counted),
            "linting_score": linting_score(total, totals.density_base),
        }


def _is_lone_file(tree: SourceTree) -> bool:
    return (
        len(tree.entries) == 1
        and tree.entries[0].location.parent == tree.root
        and (tree.entries[0].location.name != "__init__.py")
    )


def _has_comment(entry: FileEntry) -> bool:
    return _COMMENT.search(entry.location.read_bytes()) is not None


def _numbers(path: str, visible: RuffResult, everything: RuffResult) -> list[int | None]:
    if path not in visible.diagnostics:
        return [None, None]
    count = len(visible.diagnostics[path])
    if path in everything.failures:
        return [count, None]
    # Some rules check the comments themselves, so that each run may report issues that the other does not.
    hidden = _places(everything.diagnostics.get(path, ())) - _places(visible.diagnostics[path])
    return [count, hidden.total()]


def _places(diagnostics: Iterable[Diagnostic]) -> Counter[tuple[str, int, int]]:
    return Counter((item.code, item.line, item.column) for item in diagnostics)


def _findings(entry: FileEntry, diagnostics: Mapping[str, Sequence[Diagnostic]]) -> list[list[Any]]:
    found = diagnostics.get(entry.path, ())
    if not found:
        return []
    lines = SourceLines(entry.location.read_bytes())
    return [
        [
            item.code,
            item.line,
            item.column,
            item.end_line,
            item.end_column,
            item.message,
            lines.line_hash(item.line),
            lines.location_hash(item.line),
        ]
        for item in sorted(found, key=lambda item: (item.line, item.column, item.code))
    ]


def _with_functions(findings: Iterable[list[Any]], facts: Mapping[str, Facts]) -> Iterable[Finding]:
    function_at: dict[str, Callable[[int], str | None]] = {}
    for path, code, line, column, end_line, end_column, message, line_hash, location_hash in findings:
        if path not in function_at:  # findings come path by path, so one lookup is kept
            function_at = {path: scope_lookup(facts.get(path, ()))}
        yield Finding(
            metric=METRIC.name,
            rule=code,
            severity=lint_severity(code),
            path=path,
            line=line,
            column=column,
            end_line=end_line,
            end_column=end_column,
            message=message,
            function=function_at[path](line),
            identity=line_hash,
            line_hash=line_hash,
            location_hash=location_hash,
        )


COLLECTOR = Lint()
