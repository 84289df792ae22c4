"""The page of the metrics of analysed code, from the collectors' declarations."""

import re
from collections.abc import Sequence
from pkgutil import resolve_name

from collectors.contract import AnyCollector
from collectors.engine.discovery import discover
from docs.generator.markdown import NOTE, cell, documentation, table
from domain.findings.identity import FindingIdentity
from domain.findings.roles import assign_roles
from domain.findings.severity import SEVERITY_RULES
from domain.metrics import scoring
from domain.metrics.declaration import (
    AggregateField,
    FileMetric,
    MetricDeclaration,
    file_metrics_of,
)
from domain.metrics.severity import Falling, Rising
from domain.sources import EXCLUDED_DIRECTORIES

HEAD = f"""\
# Metrics
{NOTE}

What is measured of a source. The Prometheus metrics of a worker have [a page of their own](prometheus.md);
[result.md](result.md) shows where the numbers are in a result.

- **All collectors analyse the same files**: every regular `.py` file outside {{excluded}}.
  A file larger than `MAX_FILE_KB` is skipped. `completeness` names what was left out.
- **Each number equals that of the tool**: it is what the tool's command line reports over exactly our file set,
  wherever that tool finishes. The tools' own rules of what to leave out do not apply: radon leaves out files and
  directories whose name begins with a dot; `bandit -r` each path that contains `.git`, `.tox`, `CVS`, `.bzr` or another
  of its names as text (`.github/x.py`, `src/CVSS.py`, `b.toxic.py`); ruff `build`, `dist` and others; docstr-coverage
  and vulture what their defaults say. Configuration files inside the tree are ignored. Nothing of the tree is imported
  or executed.
- **Comments that silence a tool** (`noqa`, `nosec`) are honoured. The number of hidden results is in `suppressed`.
- **A failed collector has nulls**, and one line in `errors`. `completeness.collectors` says for each collector
  whether it is `ok`, `partial` (something was left out, and is named) or `failed`.
- **A file that does not parse** keeps its node in `file_tree`, with `parse_error`. Numbers that need the syntax tree
  are null, and the collectors that need it are `partial`. Their counts are those of the other files, as their tools'
  are. A score is null unless more than half of the files were measured: those that are left say little about all.
- `tool_versions` of a run has the versions of the tools, of git and of Python.

Each value can be null, which means that it was not measured.
"""

ROLES_HEAD = """
## Roles of files

Each file in `file_tree` has a `role`. `metrics.NAME.by_role` has the aggregate of the files of each role, for all
metrics but `churn` and `deps`. A line counts as duplicated, and a name as used, whatever the role of the other file.

"""


def page() -> str:
    """Return the page."""
    excluded = ", ".join(f"`{name}`" for name in sorted(EXCLUDED_DIRECTORIES))
    found = discover()
    declarations = [collector.metric for collector in found]
    return "".join(
        (
            HEAD.replace("{excluded}", excluded),
            *(_collector(collector) for collector in found),
            _severities(declarations),
            _severities_of_findings(),
            _roles(),
            _health(declarations),
        )
    )


def _collector(collector: AnyCollector) -> str:
    metric = collector.metric
    tool = f"{metric.tool} {metric.version}" if metric.pinned else metric.tool
    text = documentation(type(collector))
    fields = [(f"`{field.key}`", field.json_type, cell(field.meaning)) for field in metric.aggregate]
    parts = [
        f"\n## `{metric.name}`\n\nTool: {tool}.\n\n{text}\n",
        *(_referenced(name) for name in sorted(set(re.findall(r"`(collectors(?:\.\w+)+)`", text)))),
        f"\n`metrics.{metric.name}` of the result:\n\n{table(('key', 'type', 'meaning'), fields)}",
        *(_items(field) for field in metric.aggregate if field.items),
    ]
    if metric.file_metric is not None:
        parts.append(_file_metric(metric.file_metric))
    if metric.finding_identity is not None:
        parts.append(_identity(metric.finding_identity))
    return "".join(parts)


def _items(field: AggregateField) -> str:
    rows = [(f"`{item.key}`", item.json_type, cell(item.meaning)) for item in field.items]
    return f"\nEach object in `{field.key}`:\n\n{table(('key', 'type', 'meaning'), rows)}"


def _referenced(name: str) -> str:
    """Quote the docstring of a function or module that a collector's docstring refers to."""
    quoted = "\n".join(f"> {line}".rstrip() for line in documentation(resolve_name(name)).splitlines())
    return f"\n`{name}`:\n\n{quoted}\n"


def _file_metric(metric: FileMetric) -> str:
    rows: list[Sequence[str]] = [(f"`{field.key}`", field.json_type, cell(field.meaning)) for field in metric.fields]
    if metric.thresholds is not None or metric.judge is not None:
        rows.append(("`severity`", "string", "`low`, `medium` or `high`, see [severities](#severities)."))
    return f"\n`metrics.{metric.key}` of a file in `file_tree`:\n\n{table(('key', 'type', 'meaning'), rows)}"


def _identity(identity: FindingIdentity) -> str:
    family = "" if identity.rule_family is None else f"; all its rules are one family, `{identity.rule_family}`"
    return f"\nA finding is identified by its {identity.kind}{family}.\n"


def _severities(declarations: Sequence[MetricDeclaration]) -> str:
    rows = [
        (f"`{metric.key}`", cell(metric.rated.meaning), _rule(metric))
        for metric in file_metrics_of(declarations)
        if metric.rated is not None and (metric.thresholds is not None or metric.judge is not None)
    ]
    head = "\n## Severities\n\nThe severity of a file, in `file_tree`.\n\n"
    return head + table(("key", "rated number", "low, medium, high"), rows)


def _severities_of_findings() -> str:
    rows = [(f"`{name}`", cell(documentation(rule))) for name, rule in SEVERITY_RULES.items()]
    head = "\n## Severities of findings\n\nThe severity of a single finding: `info`, `low`, `medium` or `high`.\n\n"
    return head + table(("metric", "rule"), rows)


def _roles() -> str:
    text = documentation(assign_roles).replace("\n", " ")
    return f"{ROLES_HEAD}`{assign_roles.__module__}`:\n\n> {text}\n"


def _rule(metric: FileMetric) -> str:
    match metric.thresholds:
        case Rising(low=low, medium=medium):
            return f"<= {low}, <= {medium}, above"
        case Falling(low=low, medium=medium):
            return f">= {low}, >= {medium}, below"
    return cell(documentation(metric.judge))


def _health(declarations: Sequence[MetricDeclaration]) -> str:
    meanings = {
        metric.health_input: cell(metric.rated.meaning)
        for metric in file_metrics_of(declarations)
        if metric.health_input is not None and metric.rated is not None
    }
    rows = [
        (name, meanings.get(name, ""), f"{weight.share:.2f}", _penalty(weight))
        for name, weight in scoring.HEALTH_WEIGHTS.items()
    ]
    formula = documentation(scoring.health_score).removeprefix("Return ")
    head = f"\n## Health score\n\nThe `health_score` of a file: {formula}\n\n"
    return head + table(("input", "x", "weight", "penalty"), rows)


def _penalty(weight: scoring.Weight) -> str:
    """Return the formula. The penalty x / (x + half) is 0 at 0, and gives its half at 1."""
    rises = weight.penalty(0.0) == 0.0
    return f"x / (x + {round(1 / weight.penalty(1.0) - 1)})" if rises else "1 - x / 100"
