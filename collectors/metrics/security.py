"""Calls, imports and habits that weaken a program, as bandit tells them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import Schema, counts, mapping, one_of, record, single, strings, strings_or_none, table
from collectors.source.scopes import scope_lookup
from collectors.source.source_tree import SourceFile
from collectors.tools.bandit_driver import run_bandit
from domain.metrics.report import Finding, Report
from domain.metrics.scoring import security_score
from domain.text import one_line

_SEVERITIES = ("high", "medium", "low")
_FACTS_SCHEMA = record(
    {
        "findings": table(strings, one_of(*_SEVERITIES), counts, strings_or_none, strings),
        "suppressed": single(counts),
        "failures": mapping(strings, strings),
    }
)


class Security:
    """Findings by severity.

    Equals `bandit -r` in its default configuration, file by file, without any plugin of a third party.

    - `high`, `medium`, `low`: findings of that severity, of any confidence.
    - `suppressed`: findings that a `#nosec` comment hides: what `--ignore-nosec` would report beyond them.
    - `security_score`: `domain.metrics.scoring.security_score` of the three.
    - per file: the three and `suppressed`.

    bandit's tests run unchanged over the tree that all collectors share; only their driver is ours (see
    `collectors.tools.bandit_driver`), so that a file too deep for bandit's own recursion is measured too. A test
    that raises
    is left out for that file, as bandit does, and the file is named as a gap, once for each such test.
    """

    name: ClassVar[str] = "security"
    tool: ClassVar[str] = "bandit"
    version: ClassVar[str] = version("bandit")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = (*_SEVERITIES, "suppressed", "security_score")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = _FACTS_SCHEMA

    def inspect(self, file: SourceFile) -> Facts:
        """`{"findings": [[test id, severity, line, function, text]], "suppressed": n, "failures": {id: error}}`."""
        found = run_bandit(file)
        function_at = scope_lookup(file.scopes) if found.issues else lambda _: None
        return {
            "findings": [
                [issue.test_id, issue.severity.lower(), issue.line, function_at(issue.line), issue.text]
                for issue in found.issues
            ],
            "suppressed": found.suppressed,
            "failures": found.failures,
        }

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up; nulls where there are files and none of them parses."""
        if totals.files and not facts:
            return Report(aggregate=dict.fromkeys(self.fields), gaps=["security: no file parses"])
        per_file = {path: _counts(found) for path, found in facts.items()}
        sums = {key: sum(row[key] for row in per_file.values()) for key in (*_SEVERITIES, "suppressed")}
        score = security_score(*(sums[severity] for severity in _SEVERITIES))
        return Report(
            aggregate={**sums, "security_score": score},
            per_file=per_file,
            findings=[finding for path, found in facts.items() for finding in _findings(path, found)],
            gaps=[gap for path, found in facts.items() for gap in _gaps(path, found)],
        )


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    by_severity = Counter(severity for _, severity, *_ in found["findings"])
    return {severity: by_severity[severity] for severity in _SEVERITIES} | {"suppressed": found["suppressed"]}


def _findings(path: str, found: Mapping[str, Any]) -> Iterable[Finding]:
    for test_id, severity, line, function, text in found["findings"]:
        # Cut the text first: it may quote a string of any length, and the severity must stay readable.
        message = f"{one_line(text, 480)} ({severity} severity)"
        yield Finding(metric="security", rule=test_id, path=path, line=line, message=message, function=function)


def _gaps(path: str, found: Mapping[str, Any]) -> Iterable[str]:
    for test_id, error in sorted(found["failures"].items()):
        yield f"{path}: security: bandit's test {test_id} failed: {error}"


COLLECTOR = Security()
