"""Aggregates of the files of each role, beside those of all files."""

from collections.abc import Mapping

from collectors.contract import AnyCollector, Totals, supports_subsets
from domain.findings.roles import Role
from domain.metrics.report import Report
from domain.text import JSON

BY_ROLE = "by_role"
"""The key of these aggregates in `metrics.NAME`."""


def aggregate_by_role(
    collector: AnyCollector, report: Report, totals: Totals, roles: Mapping[str, Role]
) -> Mapping[str, Mapping[str, JSON]] | None:
    """Return the collector's aggregate for each role that a file has; None where it has no aggregate of some files."""
    if not supports_subsets(collector):
        return None
    paths: dict[Role, list[str]] = {role: [] for role in Role}
    for path in totals.files:
        paths[roles[path]].append(path)
    return {
        str(role): collector.aggregate(
            {path: report.per_file[path] for path in of_role if path in report.per_file},
            Totals(sloc={path: totals.sloc[path] for path in of_role}),
        )
        for role, of_role in paths.items()
        if of_role
    }
