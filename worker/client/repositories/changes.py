"""What an owner changes of a tracked repository, and the columns that this changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from collectors.engine.collector_names import collector_names
from domain.tags import normalize_tags
from domain.text import JSON
from domain.tracking.follows import FollowSettings
from domain.tracking.repository import checked_description, checked_language
from domain.tracking.settings import RepositorySettings
from infrastructure.redis.token_vault import TokenVault
from infrastructure.settings import Settings
from worker.client.jobs.submissions import validate_notify_url
from worker.tracking.schedules import next_time, parse_schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryChanges:
    """Changes of a tracked repository. None leaves what is stored; an empty text clears it.

    `settings` and `tags` replace the stored ones as a whole.
    """

    schedule: str | None = None
    settings: RepositorySettings | None = None
    tags: Mapping[str, Sequence[str]] | None = None
    token: str | None = field(default=None, repr=False)
    description: str | None = None
    language: str | None = None


def repository_settings_from_json(document: JSON) -> RepositorySettings:
    """Read the settings of a repository that another program wrote. Raises InvalidInputError, in one line."""
    return RepositorySettings.from_json(document, collector_names())


def column_changes(changes: RepositoryChanges, settings: Settings, vault: TokenVault, now: datetime) -> dict[str, JSON]:
    """Return the new values of columns. Raises InvalidInputError. `now` is the database's time."""
    columns: dict[str, JSON] = {}
    if changes.schedule is not None:
        schedule = parse_schedule(changes.schedule, now) if changes.schedule else None
        columns["schedule"] = schedule
        columns["next_check_at"] = None if schedule is None else next_time(schedule, now)
    if changes.settings is not None:
        columns["settings"] = checked_settings(changes.settings, settings).to_json()
    if changes.tags is not None:
        columns["tags"] = normalize_tags(changes.tags)
    if changes.token is not None:
        columns["token"] = vault.encrypt(changes.token) if changes.token else None
    if changes.description is not None:
        columns["description"] = checked_description(changes.description)
    if changes.language is not None:
        columns["language"] = checked_language(changes.language)
    if columns.keys() & {"settings", "token"}:
        columns["check_requested_at"] = now  # other branches, or a token that is accepted
    return columns


def checked_settings(given: RepositorySettings, settings: Settings) -> RepositorySettings:
    """Return the settings as they are stored. Raises InvalidInputError."""
    checked = repository_settings_from_json(given.to_json())
    if checked.notify_url is None:
        return checked
    return replace(checked, notify_url=validate_notify_url(checked.notify_url, settings))


def checked_follow(given: FollowSettings, settings: Settings) -> FollowSettings:
    """Return a follower's settings as they are stored. Raises InvalidInputError."""
    checked = FollowSettings.from_json(given.to_json())
    if checked.notify_url is None:
        return checked
    return replace(checked, notify_url=validate_notify_url(checked.notify_url, settings))
