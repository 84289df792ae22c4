"""The `package_health` of a run, once the package index has been asked."""

from collections.abc import Callable, Mapping, Sequence

from domain.text import JSON

IsOlder = Callable[[str, str], bool | None]
"""Whether the first version comes before the second; None where either is no version."""


def with_latest_versions(
    package_health: Sequence[Mapping[str, JSON]], latest: Mapping[str, str | None], is_older: IsOlder
) -> list[dict[str, JSON]]:
    """The same rows with `latest_version` from `latest` (package to version), and `outdated` judged by `is_older`.

    `outdated` is null unless both versions are known: nobody is told to be up to date without knowing.
    """
    return [_judged(row, latest.get(row["package"]), is_older) for row in package_health]


def _judged(row: Mapping[str, JSON], latest: str | None, is_older: IsOlder) -> dict[str, JSON]:
    current = row["current_version"]
    outdated = None if current is None or latest is None else is_older(current, latest)
    return {**row, "latest_version": latest, "outdated": outdated}
