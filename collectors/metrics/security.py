"""`security`: calls, imports and habits that weaken a program, by bandit."""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import (
    Schema,
    counts,
    counts_or_none,
    mapping,
    one_of,
    record,
    single,
    strings,
    strings_or_none,
    table,
)
from collectors.source.scopes import scope_lookup
from collectors.source.source_tree import SourceFile
from collectors.tools.bandit_driver import run_bandit
from collectors.tools.bandit_rule_texts import RULES
from domain.findings.identity import FindingIdentity, IdentityKind
from domain.findings.severity import security_severity
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
from domain.metrics.report import MESSAGE_LIMIT, Finding, Report
from domain.metrics.scoring import security_score, security_weight
from domain.metrics.severity import Severity
from domain.text import JSON, one_line

_SEVERITIES = ("high", "medium", "low")
_FACTS_SCHEMA = record(
    {
        "findings": table(
            strings,
            one_of(*_SEVERITIES),
            counts,
            strings_or_none,
            strings,
            counts_or_none,
            counts_or_none,
            counts_or_none,
            strings,
            strings_or_none,
        ),
        "suppressed": single(counts),
        "failures": mapping(strings, strings),
    }
)


def _severity(numbers: Numbers) -> Severity:
    """Any high finding: high; any medium finding: medium; otherwise low."""
    if numbers["high"]:
        return Severity.HIGH
    return Severity.MEDIUM if numbers["medium"] else Severity.LOW


def _weight(numbers: Numbers) -> int:
    return security_weight(numbers["high"], numbers["medium"], numbers["low"])


METRIC = MetricDeclaration(
    name="security",
    tool="bandit",
    homepage="https://bandit.readthedocs.io",
    version=version("bandit"),
    aggregate=(
        AggregateField(key="high", meaning="Findings of high severity, of any confidence."),
        AggregateField(key="medium", meaning="Findings of medium severity, of any confidence."),
        AggregateField(key="low", meaning="Findings of low severity, of any confidence."),
        AggregateField(
            key="suppressed",
            meaning="Findings that `# nosec` comments hide: those that `--ignore-nosec` would report in addition.",
        ),
        AggregateField(
            key="security_score",
            meaning="max(0, 100 - min(100, 10 high + 5 medium + low)): 0..100, higher is better.",
            json_type="number",
        ),
    ),
    file_metric=FileMetric(
        key="security",
        fields=(
            FileField(key="high", number="high", meaning="Findings of high severity in this file."),
            FileField(key="medium", number="medium", meaning="Findings of medium severity in it."),
            FileField(key="low", number="low", meaning="Findings of low severity in it."),
            FileField(key="suppressed", number="suppressed", meaning="Findings in it that `# nosec` comments hide."),
        ),
        rated=RatedNumber(number="high", combine=_weight, meaning="10 high + 5 medium + low."),
        judge=_severity,
        health_input="security",
        column=Column(heading="sec", of=_SEVERITIES),
        position=30,
    ),
    row=RowFormat(
        text="{high} high, {medium} medium, {low} low, {suppressed} suppressed", score="security_score", position=90
    ),
    finding_identity=FindingIdentity(kind=IdentityKind.LINE_HASH),
    finding_rules=RULES,
)


class Security:
    """Findings by severity.

    Equals `bandit -r` in its default configuration, without any plugin of a third party, over exactly our file set.
    `bandit -r` itself leaves out each file whose path contains `.svn`, `CVS`, `.bzr`, `.hg`, `.git`, `__pycache__`,
    `.tox`, `.eggs` or `*.egg` anywhere in its text, such as `.github/x.py`, `src/CVSS.py` and `b.toxic.py`: these are
    measured here.

    bandit's tests run unchanged over the syntax tree that all collectors share. Only their driver is our own (see
    `collectors.tools.bandit_driver`), so that a file too deep for bandit's own recursion is measured too. A test that
    raises an exception is left out for that file, as bandit does, and `gaps` names the file once for each such test.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = _FACTS_SCHEMA

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{findings: [row], suppressed, failures}`: their number, and test id to error.

        A row is `[test id, severity, line, function, text, column, end line, end column, line hash, location hash]`.
        """
        found = run_bandit(file)
        function_at = scope_lookup(file.scopes) if found.issues else lambda _: None
        return {
            "findings": [
                [
                    issue.test_id,
                    issue.severity.lower(),
                    issue.line,
                    function_at(issue.line),
                    issue.text,
                    issue.column,
                    issue.end_line,
                    issue.end_column,
                    file.lines.line_hash(issue.line),
                    file.lines.location_hash(issue.line),
                ]
                for issue in found.issues
            ],
            "suppressed": found.suppressed,
            "failures": found.failures,
        }

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Add up; nulls where there are files but none of them parses."""
        if totals.files and not facts:
            return Report(aggregate=METRIC.without_value(), gaps=["security: no file parses"])
        per_file = {path: _counts(found) for path, found in facts.items()}
        return Report(
            aggregate=self.aggregate(per_file, totals),
            per_file=per_file,
            findings=[finding for path, found in facts.items() for finding in _findings(path, found)],
            gaps=[gap for path, found in facts.items() for gap in _gaps(path, found)],
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Add up the findings of these files; nulls where there are files but none of them parses."""
        if totals.files and not numbers:
            return METRIC.without_value()
        sums = {key: sum(row[key] for row in numbers.values()) for key in (*_SEVERITIES, "suppressed")}
        return {**sums, "security_score": security_score(*(sums[severity] for severity in _SEVERITIES))}


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    by_severity = Counter(severity for _, severity, *_ in found["findings"])
    return {severity: by_severity[severity] for severity in _SEVERITIES} | {"suppressed": found["suppressed"]}


def _findings(path: str, found: Mapping[str, Any]) -> Iterable[Finding]:
    for test_id, severity, line, function, text, column, end_line, end_column, *hashes in found["findings"]:
        # Shorten the text first: it may quote a string of any length, and the severity must not be cut off.
        suffix = f" ({severity} severity)"
        message = one_line(text, MESSAGE_LIMIT - len(suffix)) + suffix
        line_hash, location_hash = hashes
        yield Finding(
            metric=METRIC.name,
            rule=test_id,
            severity=security_severity(severity),
            path=path,
            line=line,
            column=column,
            end_line=end_line,
            end_column=end_column,
            message=message,
            function=function,
            identity=line_hash,
            line_hash=line_hash,
            location_hash=location_hash,
        )


def _gaps(path: str, found: Mapping[str, Any]) -> Iterable[str]:
    for test_id, error in sorted(found["failures"].items()):
        yield f"{path}: security: bandit's test {test_id} failed: {error}"


COLLECTOR = Security()
