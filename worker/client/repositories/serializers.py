"""Tracked repositories and their followers as JSON. No form has a secret."""

from dataclasses import asdict
from datetime import datetime

from domain.text import JSON
from domain.tracking.follows import Follow
from domain.tracking.repository import RepositoryStatistics, TrackedRepository, TrendingRepository


def repository_to_json(
    repository: TrackedRepository, statistics: RepositoryStatistics | None = None
) -> dict[str, JSON]:
    """Return the repository with the names of the table's columns, and `statistics` if they are given."""
    document: dict[str, JSON] = {
        ("id" if name == "repository_id" else name): _plain(value) for name, value in asdict(repository).items()
    }
    return document if statistics is None else {**document, "statistics": _numbers(statistics)}


def trending_to_json(trending: TrendingRepository) -> dict[str, JSON]:
    """Return the repository with its `statistics`."""
    return repository_to_json(trending.repository, trending.statistics)


def follow_to_json(follow: Follow) -> dict[str, JSON]:
    """Return who follows which repository, and what that user is told."""
    return {
        "user_id": str(follow.user_id),
        "repository_id": str(follow.repository_id),
        "followed_at": follow.followed_at.isoformat(),
        "notification_settings": follow.settings.to_json(),
    }


def _numbers(statistics: RepositoryStatistics) -> dict[str, JSON]:
    return {name: value for name, value in asdict(statistics).items() if name != "repository_id"}


def _plain(value: JSON) -> JSON:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | dict | list) else str(value)
