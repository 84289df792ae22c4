"""What a user has beside jobs and runs: API keys, the plan and its use, shared reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its text. `rate_limit` is in requests an hour."""

    id: str
    name: str
    prefix: str
    permissions: Sequence[str]
    rate_limit: int
    last_used: datetime | None
    expires_at: datetime | None
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey(ApiKey):
    """A key that was just made. `key` is its text, which the service shows this once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthOfUse:
    """What a month's use was."""

    month: str
    analyses: int
    reports: int
    repositories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The plan, its limits (None: unlimited) and what is used of them."""

    tier: str
    month: str
    month_ends_at: datetime
    day_ends_at: datetime
    limits: Mapping[str, int | None]
    used: Mapping[str, int]
    months: Sequence[MonthOfUse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A shared report: who has `short_code` reads `/r/CODE`. `state`: `open`, `withdrawn`, `expired`, `used up`."""

    id: str
    run_id: str
    short_code: str
    state: str
    is_public: bool
    has_password: bool
    expires_at: datetime | None
    max_views: int | None
    view_count: int
    last_viewed_at: datetime | None
    created_at: datetime
    updated_at: datetime
