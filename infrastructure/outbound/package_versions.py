"""How versions of packages compare."""

from packaging.version import InvalidVersion, Version


def is_older(current: str, latest: str) -> bool | None:
    """Whether `current` comes before `latest` by PEP 440; None where either is no version."""
    try:
        return Version(current) < Version(latest)
    except InvalidVersion:
        return None
