"""Rules of SARIF: what the collectors declare about the rules that have findings."""

from collections.abc import Mapping, Sequence

from domain.findings.severity import FindingSeverity
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.rule_texts import SUMMARY_LIMIT, RuleText
from domain.text import JSON, one_line
from worker.export.exported_run import NAME_LIMIT, ExportedFinding
from worker.export.sarif_results import LEVELS

SECURITY_SCORES = {
    FindingSeverity.HIGH: "8.0",
    FindingSeverity.MEDIUM: "5.5",
    FindingSeverity.LOW: "2.0",
    FindingSeverity.INFO: "2.0",
}
"""GitHub shows a rule of security by this score: from 7.0 on high, from 4.0 on medium."""


def sarif_rules(
    findings: Sequence[ExportedFinding],
    shown: Sequence[ExportedFinding],
    declarations: Mapping[str, MetricDeclaration],
    tool: str,
) -> list[dict[str, JSON]]:
    """Return the rules of the findings that are shown, by identifier.

    Level and score are those of the rule's most severe finding, whether that is shown or not.
    """
    highest: dict[str, FindingSeverity] = {}
    for finding in findings:
        known = highest.get(finding.rule)
        if known is None or finding.severity.rank > known.rank:
            highest[finding.rule] = finding.severity
    metrics = {finding.rule: finding.metric for finding in shown}
    return [
        _rule(rule, metric, highest[rule], declarations.get(metric), tool) for rule, metric in sorted(metrics.items())
    ]


def _rule(
    rule: str, metric: str, severity: FindingSeverity, declaration: MetricDeclaration | None, tool: str
) -> dict[str, JSON]:
    declared = None if declaration is None else declaration.finding_rules
    text = _own_text(tool, metric) if declared is None else declared.text_of(rule)
    security = declared is not None and declared.security
    properties: dict[str, JSON] = {"tags": ["security"] if security else [metric]}
    if security:
        properties["security-severity"] = SECURITY_SCORES[severity]
    return {
        "id": rule,
        "name": one_line(f"{metric}/{rule}", NAME_LIMIT),
        "shortDescription": {"text": text.summary},
        "fullDescription": {"text": text.explanation},
        "help": {"text": text.advice},
        "defaultConfiguration": {"level": LEVELS[severity]},
        "properties": properties,
    }


def _own_text(tool: str, metric: str) -> RuleText:
    """Return the text about a rule of a metric that declares none."""
    return RuleText(
        one_line(f"Finding of {tool}", SUMMARY_LIMIT),
        one_line(f"{tool} reports this for the metric {metric}.", SUMMARY_LIMIT),
        one_line(f"See the documentation of {tool}.", SUMMARY_LIMIT),
    )
