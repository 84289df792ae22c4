"""A tracked repository: a git repository that is analysed when one of its branches has moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from domain.errors import InvalidInputError
from domain.findings.baseline import normalized_url
from domain.text import JSON, printable

MAX_DESCRIPTION_LENGTH = 1_000
MAX_LANGUAGE_LENGTH = 100
HEAD = "HEAD"
"""The key of `heads` where the host names no default branch: its HEAD is detached."""


class AnalysisStatus(StrEnum):
    """How far the analysis of a repository is."""

    PENDING = "pending"
    """Neither a check nor an analysis has ended yet."""
    IN_PROGRESS = "in_progress"
    """A branch has moved, and its analysis has not ended."""
    COMPLETED = "completed"
    """The last check succeeded, and the last analysis completed."""
    FAILED = "failed"
    """The last check or the last analysis failed; `last_error` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryNames:
    """How a repository is called: `url` is `clone_url` without `.git`, so that both writings are one repository."""

    name: str
    full_name: str
    url: str

    @classmethod
    def of(cls, clone_url: str) -> Self:
        """Return the names of a URL of `domain.sources.normalize_repository_url`."""
        url = f"https://{normalized_url(clone_url)}"
        full_name = urlsplit(url).path.strip("/")
        return cls(name=full_name.rpartition("/")[2], full_name=full_name, url=url)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryCursor:
    """The position in a list of an owner's repositories, by their URLs, after which the next page starts."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMetadata:
    """What a host says of a repository in its push hooks. None leaves what is stored."""

    description: str | None = None
    language: str | None = None
    stars: int | None = None
    forks: int | None = None
    watchers: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRepository:
    """A row of `repositories`, without its secrets. Timestamps are aware and in UTC.

    `heads` are the commits by branch that were analysed last, or are about to be. `size` is in KB, as the host counts.
    `next_check_at` is None without a schedule. `failures` counts the checks that failed one after the other.
    """

    repository_id: UUID
    owner_id: UUID
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
    heads: Mapping[str, str]
    analysis_status: AnalysisStatus
    settings: Mapping[str, JSON]
    """As `RepositorySettings.to_json` makes them."""
    tags: Mapping[str, list[str]]
    schedule: str | None
    next_check_at: datetime | None
    last_checked_at: datetime | None
    """When the last check ended, also one that failed. None before the first."""
    check_pending: bool
    """Whether a check was asked for and has not ended, or a worker is at one."""
    failures: int
    last_error: str | None
    has_token: bool
    """Whether a token is stored, with which the host is asked."""
    has_hook_secret: bool
    """Whether the host's push hook may trigger checks."""
    created_at: datetime
    updated_at: datetime

    @property
    def cursor(self) -> RepositoryCursor:
        """The position after this repository in a list of its owner's repositories."""
        return RepositoryCursor(url=self.url)

    @property
    def is_public(self) -> bool:
        """Whether other users may see and follow it."""
        return self.settings.get("public") is True


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryStatistics:
    """Numbers of a repository, as of the last count; see `docs/tracked-repositories.md`.

    `latest_score` is the quality score of the newest run that has one. `improvement` is by how many points it is above
    that of the newest run that is at least 7 days old, and 0 where it is not.
    """

    repository_id: UUID
    runs: int = 0
    latest_score: float | None = None
    mean_confidence: float | None = None
    insights: int = 0
    followers: int = 0
    recent_runs: int = 0
    """Runs of the last 7 days."""
    improvement: float = 0.0
    trending: float = 0.0
    """10 for each follower, plus `recent_runs` and `improvement`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendingRepository:
    """A repository in the list of those that are trending, with its numbers."""

    repository: TrackedRepository
    statistics: RepositoryStatistics


def checked_description(text: str | None) -> str | None:
    """Return the text that is stored. Raises InvalidInputError for one that is too long."""
    return _checked(text, "description", MAX_DESCRIPTION_LENGTH)


def checked_language(text: str | None) -> str | None:
    """Return the text that is stored. Raises InvalidInputError for one that is too long."""
    return _checked(text, "language", MAX_LANGUAGE_LENGTH)


def _checked(text: str | None, what: str, limit: int) -> str | None:
    if text is None:
        return None
    if len(text) > limit:
        raise InvalidInputError(f"the {what} has {len(text)} characters; give at most {limit}")
    return printable(text).strip() or None
