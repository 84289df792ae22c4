"""Comparison of package versions."""

from packaging.version import InvalidVersion, Version


def is_older(current: str, latest: str) -> bool | None:
    """Whether `current` precedes `latest` by PEP 440; None if either is not a valid version."""
    try:
        return Version(current) < Version(latest)
    except InvalidVersion:
        return None
