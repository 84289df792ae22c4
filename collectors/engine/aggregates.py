"""Aggregates of all files and of the files of each role, and the files that they lack because these do not parse."""

from collections.abc import Collection, Mapping, Sequence

from collectors.contract import AnyCollector, Totals, is_file_collector, supports_subsets
from domain.findings.roles import Role
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.report import Report
from domain.metrics.scoring import is_known_for_most
from domain.text import JSON

BY_ROLE = "by_role"
"""The key of these aggregates in `metrics.NAME`."""


def unmeasured_files(
    collector: AnyCollector, with_numbers: Collection[str], with_facts: Collection[str], paths: Sequence[str]
) -> list[str]:
    """Return the files that a file collector has no numbers of; without numbers of single files, no facts of."""
    if not is_file_collector(collector):
        return []
    measured = with_facts if collector.metric.file_metric is None else with_numbers
    return [path for path in paths if path not in measured]


def aggregates(
    collector: AnyCollector, report: Report, facts: Collection[str], totals: Totals, roles: Mapping[str, Role]
) -> tuple[Mapping[str, JSON], Mapping[str, Mapping[str, JSON]] | None]:
    """Return the aggregate of all files and those by role; a score is null unless most of its files were measured.

    Counts stay: they equal those of the tool, which leaves out the same files. A score of the few files that parse
    could be higher than that of the tree unbroken.
    """
    unmeasured = [roles[path] for path in unmeasured_files(collector, report.per_file, facts, totals.files)]
    of_roles = [roles[path] for path in totals.files]
    whole = _without_score(collector.metric, report.aggregate, len(unmeasured), len(of_roles))
    by_role = _aggregate_by_role(collector, report, totals, roles)
    if by_role is None or not unmeasured:
        return whole, by_role
    return whole, {
        role: _without_score(collector.metric, values, unmeasured.count(Role(role)), of_roles.count(Role(role)))
        for role, values in by_role.items()
    }


def _without_score(
    metric: MetricDeclaration, aggregate: Mapping[str, JSON], unmeasured: int, files: int
) -> Mapping[str, JSON]:
    if metric.row.score is None or is_known_for_most(files - unmeasured, files):
        return aggregate
    return {**aggregate, metric.row.score: None}


def _aggregate_by_role(
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
