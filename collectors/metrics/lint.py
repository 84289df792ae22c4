"""What a linter complains of, as ruff tells it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import TREE_PATH, Facts, Totals
from collectors.schemas import Schema, counts, row, strings, table, tables
from collectors.source.scopes import scope_lookup
from collectors.source.source_tree import FileEntry, SourceFile, SourceTree
from collectors.tools.ruff_runner import Diagnostic, RuffResult, RuffRunner
from domain.metrics.report import Finding, Report
from domain.metrics.scoring import linting_score

SECONDS = 100.0
"""For all runs of ruff together: less than a collector may take, so that what is known by then is not lost."""

_COMMENT = re.compile(rb"noqa|ruff", re.IGNORECASE)
"""What every comment that silences ruff contains: `noqa`, `ruff: noqa`, `flake8: noqa`, `ruff: ignore[...]`."""


class Lint:
    """Issues by ruff's default rules.

    Equals `ruff check --isolated --no-cache --no-respect-gitignore` over exactly the files of the tree, run from its
    root; ruff's own default exclusions (`build`, `dist`, `.direnv`, ...) do not apply.

    - `total`: lines that ruff reports. Errors of syntax count as ruff counts them, several for one file if need be.
    - `suppressed`: issues that comments hide: what `--ignore-noqa` reports beyond them.
    - `linting_score`: `domain.metrics.scoring.linting_score` of total and the tree's source lines.
    - per file: `count` and `suppressed`.

    Some rules look beyond a file's bytes, at names, mode bits and neighbouring modules, so ruff runs as a process of
    its own over the tree as it lies on disk; files that mention no such comment are spared the second run. A file that
    ruff does not survive (an expression tens of thousands deep) has no number and is named as a gap. What the map
    takes from each file is only where its functions are, which ruff does not say.
    """

    name: ClassVar[str] = "lint"
    tool: ClassVar[str] = "ruff"
    version: ClassVar[str] = version("ruff")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("total", "suppressed", "linting_score")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = table(strings, counts, counts)
    answer_schema: ClassVar[Schema] = row(counts, counts, tables(strings, counts, strings))

    def inspect(self, file: SourceFile) -> Facts:
        """`[[dotted name, first line, last line]]` of every function and class, outer before inner."""
        return [list(scope) for scope in file.scopes]

    def collect_tree(self, tree: SourceTree) -> Facts:
        """What ruff says: `{"files": {path: [count, suppressed]}, "findings": [...], "gaps": [...]}`.

        A finding is `[path, code, line, message]`; a count is None where ruff was lost. Raises RuffError.
        """
        return self.collect_incremental(tree, {})[0]

    def collect_incremental(self, tree: SourceTree, known: Mapping[str, Facts]) -> tuple[Facts, Mapping[str, Facts]]:
        """The same, asking ruff about those files alone of which no answer is known, and what it said of these.

        An answer is `[count, suppressed, [[code, line, message]]]`.
        """
        asked = [entry for entry in tree.entries if entry.path not in known]
        ruff = RuffRunner(tree, SECONDS)
        visible = ruff.check(asked)
        commented = [entry for entry in asked if entry.path in visible.diagnostics and _has_comment(entry)]
        everything = ruff.check(commented, ignore_comments=True)
        said = {
            entry.path: [*_numbers(entry.path, visible, everything), _findings(visible.diagnostics.get(entry.path, ()))]
            for entry in asked
        }
        answers = {**known, **said}
        facts = {
            "files": {entry.path: answers[entry.path][:2] for entry in tree.entries},
            "findings": [[path, *finding] for path in sorted(answers) for finding in answers[path][2]],
            "gaps": [
                *(f"{path}: lint skipped: {reason}" for path, reason in sorted(visible.failures.items())),
                *(f"{path}: lint: suppressed not counted: {why}" for path, why in sorted(everything.failures.items())),
            ],
        }
        return facts, said

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up, and place each finding in its function; nulls where ruff was lost on every file."""
        survey = facts[TREE_PATH]
        numbers = {path: {"count": row[0], "suppressed": row[1]} for path, row in survey["files"].items()}
        counted = [row for row in numbers.values() if row["count"] is not None]
        if numbers and not counted:
            return Report(aggregate=dict.fromkeys(self.fields), per_file=numbers, gaps=survey["gaps"])
        total = sum(row["count"] for row in counted)
        return Report(
            aggregate={
                "total": total,
                "suppressed": sum(row["suppressed"] or 0 for row in counted),
                "linting_score": linting_score(total, totals.total_sloc),
            },
            per_file=numbers,
            findings=list(_placed(survey["findings"], facts)),
            gaps=survey["gaps"],
        )


def _has_comment(entry: FileEntry) -> bool:
    return _COMMENT.search(entry.location.read_bytes()) is not None


def _numbers(path: str, visible: RuffResult, everything: RuffResult) -> list[int | None]:
    if path not in visible.diagnostics:
        return [None, None]
    count = len(visible.diagnostics[path])
    if path in everything.failures:
        return [count, None]
    # Some rules judge the comments themselves, so neither run's issues need contain the other's.
    hidden = _places(everything.diagnostics.get(path, ())) - _places(visible.diagnostics[path])
    return [count, hidden.total()]


def _places(said: Iterable[Diagnostic]) -> Counter[tuple[str, int, int]]:
    return Counter((item.code, item.line, item.column) for item in said)


def _findings(said: Iterable[Diagnostic]) -> list[list[Any]]:
    in_order = sorted(said, key=lambda item: (item.line, item.column, item.code))
    return [[item.code, item.line, item.message] for item in in_order]


def _placed(findings: Iterable[list[Any]], facts: Mapping[str, Facts]) -> Iterable[Finding]:
    owners: dict[str, Callable[[int], str | None]] = {}
    for path, code, line, message in findings:
        if path not in owners:
            owners = {path: scope_lookup(facts.get(path, ()))}
        yield Finding(metric="lint", rule=code, path=path, line=line, message=message, function=owners[path](line))


COLLECTOR = Lint()
