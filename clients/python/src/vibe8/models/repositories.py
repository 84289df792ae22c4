"""Tracked repositories and their followers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A tracked repository. `statistics` are None in lists. The token and the hook's secret are never shown."""

    id: str
    owner_id: str
    name: str
    full_name: str
    description: str | None
    url: str
    clone_url: str
    default_branch: str | None
    language: str | None
    stars: int
    forks: int
    watchers: int
    size: int
    last_analyzed: datetime | None
    heads: Mapping[str, Any]
    analysis_status: str
    settings: Mapping[str, Any]
    tags: Mapping[str, Sequence[str]]
    schedule: str | None
    next_check_at: datetime | None
    check_pending: bool
    failures: int
    last_error: str | None
    has_token: bool
    has_hook_secret: bool
    created_at: datetime
    updated_at: datetime
    last_checked_at: datetime | None = None
    statistics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSecret:
    """The secret of a push hook, shown this once, and the path of the hook's address."""

    secret: str = field(repr=False)
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """What a follower of a repository is told."""

    user_id: str
    repository_id: str
    followed_at: datetime
    notification_settings: Mapping[str, Any]
