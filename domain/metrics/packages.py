"""The names of packages to look up early, and a run's lists of packages after the index has been queried."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.metrics.declaration import PACKAGE_KEYS, MetricDeclaration
from domain.text import JSON

IsOlder = Callable[[str, str], bool | None]
"""Returns whether the first version is older than the second; None where one of them is not a valid version."""


NOT_INDEXED = "not_indexed"
"""Key of a row in a list of packages between the child and the worker: no index is asked for this package."""

LOOKS_UP_PACKAGES = "looks_up_packages"
"""The key of a request to collect that says whether packages are looked up, so that their names are reported early."""

PACKAGE_NAMES = "package_names"
"""Key of the progress messages in which a child reports packages that the tree imports."""

PACKAGE_LISTS = "package_lists"
"""Key of a child's result that says which of its metrics list packages: `[[metric, key of the aggregate]]`."""

MAX_REPORTED_NAMES = 200
MAX_NAME_LENGTH = 200

_NORMALIZED_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


def reported_names(report: JSON) -> list[str]:
    """Return the normalized names in a child's report, without duplicates; none if it is not a list or is too long.

    The child may have been taken over, so anything may be in the report.
    """
    if not isinstance(report, list) or len(report) > MAX_REPORTED_NAMES:
        return []
    return list(dict.fromkeys(name for name in report if isinstance(name, str) and _is_normalized(name)))


def _is_normalized(name: str) -> bool:
    return len(name) <= MAX_NAME_LENGTH and _NORMALIZED_NAME.fullmatch(name) is not None


def declared_lists(declarations: Iterable[MetricDeclaration]) -> list[list[str]]:
    """Return the metric and the aggregate's key of each list of packages that the metrics declare."""
    return [[metric.name, field.key] for metric in declarations for field in metric.aggregate if field.lists_packages]


def reported_lists(report: JSON, metrics: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """Return metric and key of each list of packages in a child's report; without what is no such list.

    The child may have been taken over, so anything may be in the report.
    """
    pairs = report if isinstance(report, list) else []
    valid = [(pair[0], pair[1]) for pair in pairs if _is_pair_of_texts(pair)]
    return [(metric, key) for metric, key in dict.fromkeys(valid) if _lists_packages(metrics.get(metric), key)]


def _is_pair_of_texts(pair: JSON) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _lists_packages(values: JSON, key: str) -> bool:
    rows = values.get(key) if isinstance(values, dict) else None
    return isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= PACKAGE_KEYS for row in rows)


def indexed_packages(packages: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Return the packages that an index may be asked for: the others are internal, or come from elsewhere."""
    return [row["package"] for row in packages if not row.get(NOT_INDEXED)]


def with_latest_versions(
    packages: Sequence[Mapping[str, JSON]], latest: Mapping[str, str | None], is_older: IsOlder
) -> list[dict[str, JSON]]:
    """Return the rows with `latest_version` from `latest` (package to version), and `outdated` by `is_older`.

    `outdated` is null unless both versions are known: an unknown version never counts as up to date.
    """
    return [_with_latest(row, latest.get(row["package"]), is_older) for row in packages]


def _with_latest(row: Mapping[str, JSON], latest: str | None, is_older: IsOlder) -> dict[str, JSON]:
    current = row["current_version"]
    outdated = None if current is None or latest is None else is_older(current, latest)
    kept = {key: value for key, value in row.items() if key != NOT_INDEXED}
    return {**kept, "latest_version": latest, "outdated": outdated}
