"""The `package_health` of a run after the package index has been queried."""

from collections.abc import Callable, Mapping, Sequence

from domain.text import JSON

IsOlder = Callable[[str, str], bool | None]
"""Returns whether the first version is older than the second; None where one of them is not a valid version."""


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
    return {**row, "latest_version": latest, "outdated": outdated}
