"""The names of packages to look up early, and the `package_health` of a run after the index has been queried."""

import re
from collections.abc import Callable, Mapping, Sequence

from domain.text import JSON

IsOlder = Callable[[str, str], bool | None]
"""Returns whether the first version is older than the second; None where one of them is not a valid version."""


NOT_INDEXED = "not_indexed"
"""Key of a row of `package_health` between the child and the worker: no index is asked for this package."""

PACKAGE_NAMES = "package_names"
"""Key of the progress message in which a child reports the packages that the tree declares."""

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


def indexed_packages(package_health: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Return the packages that an index may be asked for: the others are internal, or come from elsewhere."""
    return [row["package"] for row in package_health if not row.get(NOT_INDEXED)]


def with_latest_versions(
    package_health: Sequence[Mapping[str, JSON]], latest: Mapping[str, str | None], is_older: IsOlder
) -> list[dict[str, JSON]]:
    """Return the rows with `latest_version` from `latest` (package to version), and `outdated` by `is_older`.

    `outdated` is null unless both versions are known: an unknown version never counts as up to date.
    """
    return [_with_latest(row, latest.get(row["package"]), is_older) for row in package_health]


def _with_latest(row: Mapping[str, JSON], latest: str | None, is_older: IsOlder) -> dict[str, JSON]:
    current = row["current_version"]
    outdated = None if current is None or latest is None else is_older(current, latest)
    kept = {key: value for key, value in row.items() if key != NOT_INDEXED}
    return {**kept, "latest_version": latest, "outdated": outdated}
