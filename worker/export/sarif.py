"""SARIF 2.1.0 of a run: one SARIF run for each tool that has findings.

The profile `github` is what GitHub's code scanning takes: alerts only, each on one line, at most 5,000 of a tool and
10 MB of gzip together. The profile `full` has every finding that is stored, with its state and all its hashes.
"""

import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.findings.measured_run import UNMEASURED
from domain.findings.severity import SEVERITIES
from domain.metrics.declaration import MetricDeclaration
from domain.selection import NOT_REQUESTED
from domain.text import JSON, one_line
from infrastructure.json_codec import dumps
from worker.export.exported_run import NAME_LIMIT, ExportedFinding, ExportedRun
from worker.export.sarif_results import BASE_ID, sarif_result, sarif_uri
from worker.export.sarif_rules import sarif_rules

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RESULTS_LIMIT = 5_000
"""The most results of a run that GitHub shows; it takes those with the highest severity."""
GZIP_LIMIT = 10_000_000
"""The largest file that GitHub takes, in bytes after gzip."""

_SHRINKING = 0.9
"""The share of the computed limit that is tried next, since results do not all compress alike."""


class SarifProfile(StrEnum):
    """For whom the file is."""

    GITHUB = "github"
    FULL = "full"


def sarif(run: ExportedRun, profile: SarifProfile = SarifProfile.GITHUB, *, gzip_limit: int = GZIP_LIMIT) -> bytes:
    """Return the file as UTF-8. It has no null and no empty string; what was left out is said in notifications."""
    tools = _tools(run, profile)
    if profile is SarifProfile.FULL:
        return dumps(_log([_run(run, tool, profile, None) for tool in tools]))
    limit = RESULTS_LIMIT
    while True:
        data = dumps(_log([_run(run, tool, profile, limit) for tool in tools]))
        size = len(data) if len(data) <= gzip_limit else len(gzip.compress(data, 6))
        if size <= gzip_limit or not limit:
            return data
        largest = min(limit, max((len(tool.findings) for tool in tools), default=0))
        limit = int(largest * gzip_limit / size * _SHRINKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    """A tool with its metrics and their findings. `declarations` is empty for a metric that is not declared here."""

    name: str
    metrics: Sequence[str]
    declarations: Mapping[str, MetricDeclaration]
    findings: Sequence[ExportedFinding]


def _tools(run: ExportedRun, profile: SarifProfile) -> list[_Tool]:
    """Return the tools that get a run, by name.

    For GitHub, a tool that measured nothing gets none: a run without results would close all its alerts.
    """
    declared = {metric.name: metric for metric in run.declarations if metric.finding_identity is not None}
    names: dict[str, list[str]] = {}
    for name in sorted({*declared, *(finding.metric for finding in run.findings)}):
        names.setdefault(declared[name].tool if name in declared else name, []).append(name)
    if profile is SarifProfile.GITHUB:
        names = {tool: [name for name in of_tool if _alerts(name, declared)] for tool, of_tool in names.items()}
        names = {
            tool: of_tool
            for tool, of_tool in names.items()
            if any(run.state_of(name) not in UNMEASURED for name in of_tool)
        }
    return [
        _Tool(
            name=tool,
            metrics=of_tool,
            declarations={name: declared[name] for name in of_tool if name in declared},
            findings=[finding for finding in run.findings if finding.metric in of_tool and finding.state != "fixed"],
        )
        for tool, of_tool in sorted(names.items())
    ]


def _alerts(metric: str, declared: Mapping[str, MetricDeclaration]) -> bool:
    identity = declared[metric].finding_identity if metric in declared else None
    return identity is not None and identity.alerts


def _log(runs: list[JSON]) -> dict[str, JSON]:
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}


def _run(run: ExportedRun, tool: _Tool, profile: SarifProfile, limit: int | None) -> dict[str, JSON]:
    full = profile is SarifProfile.FULL
    shown = list(tool.findings) if limit is None else most_severe(tool.findings, limit)
    gone = [finding for finding in run.fixed if finding.metric in tool.metrics] if full else []
    rules = sarif_rules([*tool.findings, *gone], [*shown, *gone], tool.declarations, tool.name)
    indexes = {rule["id"]: index for index, rule in enumerate(rules)}
    driver: dict[str, JSON] = {"name": one_line(tool.name, NAME_LIMIT), "rules": rules}
    homepages = sorted({each.homepage for each in tool.declarations.values() if each.homepage is not None})
    if homepages:
        driver["informationUri"] = homepages[0]
    version = run.part("tool_versions").get(tool.name)
    if isinstance(version, str) and version:
        driver["version"] = one_line(version, NAME_LIMIT)
    document: dict[str, JSON] = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"vibe8/{one_line(tool.name, NAME_LIMIT)}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(run, tool, _left_out(tool.findings, shown))],
        "results": [sarif_result(finding, indexes[finding.rule], full=full) for finding in shown]
        + [sarif_result(finding, indexes[finding.rule], full=full, gone=True) for finding in gone],
    }
    provenance = _provenance(run) if full else None
    if provenance is None:
        return document
    root = {BASE_ID: {"description": {"text": "The root of the repository."}}}
    return {**document, "originalUriBaseIds": root, "versionControlProvenance": [provenance]}


def most_severe(findings: Sequence[ExportedFinding], limit: int) -> list[ExportedFinding]:
    """Return at most `limit` findings, those of the highest severity, in the order of the list."""
    if len(findings) <= limit:
        return list(findings)
    ranked = sorted(range(len(findings)), key=lambda index: -findings[index].severity.rank)
    return [findings[index] for index in sorted(ranked[:limit])]


def _left_out(findings: Sequence[ExportedFinding], shown: Sequence[ExportedFinding]) -> list[str]:
    """Return a line about the findings that are not shown, by severity; none where all are."""
    if len(shown) == len(findings):
        return []
    counts = Counter(finding.severity for finding in findings)
    counts.subtract(finding.severity for finding in shown)
    each = ", ".join(f"{counts[severity]:,} {severity}" for severity in reversed(SEVERITIES) if counts[severity])
    return [f"{len(findings) - len(shown):,} of {len(findings):,} findings are left out: {each}"]


def _invocation(run: ExportedRun, tool: _Tool, lines: list[str]) -> dict[str, JSON]:
    """Return whether the tool succeeded, with a notification for all that this run does not show."""
    states = {metric: run.state_of(metric) for metric in tool.metrics}
    lines += [
        f"{metric} was not requested" if state == NOT_REQUESTED else f"{metric} is incomplete: {state}"
        for metric, state in states.items()
        if state != "ok"
    ]
    skipped = run.part("completeness").get("skipped_total")
    if isinstance(skipped, int) and skipped > 0:
        lines.append(f"{skipped:,} files or directories were skipped")
    if run.unlisted:
        lines.append(f"{run.unlisted:,} findings of all tools together were not stored")
    if run.unreadable:
        lines.append(f"{run.unreadable:,} stored findings have no path")
    invocation: dict[str, JSON] = {"executionSuccessful": "failed" not in states.values()}
    if lines:
        notifications = [{"level": "warning", "message": {"text": one_line(line, 1_000)}} for line in lines]
        invocation["toolExecutionNotifications"] = notifications
    return invocation


def _provenance(run: ExportedRun) -> dict[str, JSON] | None:
    source = run.part("source")
    url = source.get("git_repo_url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return None
    facts = {"revisionId": source.get("git_commit_sha"), "branch": source.get("git_branch")}
    texts = {key: one_line(value, NAME_LIMIT) for key, value in facts.items() if isinstance(value, str)}
    known = {key: text for key, text in texts.items() if text}
    return {"repositoryUri": sarif_uri(url, safe="/:"), "mappedTo": {"uriBaseId": BASE_ID}, **known}
