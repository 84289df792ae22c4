"""Followers of a tracked repository: what they are told, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import InvalidInputError
from domain.text import JSON, one_line

KNOWN_SETTINGS = frozenset({"when", "notify_url"})


class FollowWhen(StrEnum):
    """When a follower is told."""

    END = "end"
    """When a run ends, also one that fails."""
    GATE = "gate"
    """When the gate turns: it rejects a run of a branch and did not reject the one before, or the other way round."""
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """When a follower is told, and the URL to which the webhook is sent."""

    when: FollowWhen = FollowWhen.NEVER
    notify_url: str | None = None

    def __post_init__(self) -> None:
        """Raise InvalidInputError for a follower who wants to be told and gives no URL."""
        if self.when is not FollowWhen.NEVER and self.notify_url is None:
            raise InvalidInputError("a follower who is told needs a notify_url; or give when as never")

    @classmethod
    def from_json(cls, document: JSON) -> Self:
        """Read what `to_json` made, or a user wrote. Raises InvalidInputError, in one line."""
        if not isinstance(document, Mapping):
            raise InvalidInputError("the settings of a follower must be a JSON object")
        if unknown := sorted(str(key) for key in document.keys() - KNOWN_SETTINGS):
            raise InvalidInputError(
                f"the settings of a follower have an unknown key {one_line(unknown[0], 50)!r}; "
                f"they accept {', '.join(sorted(KNOWN_SETTINGS))}"
            )
        when, url = document.get("when", FollowWhen.NEVER), document.get("notify_url")
        if when not in list(FollowWhen):
            raise InvalidInputError(f"when must be one of {', '.join(FollowWhen)}")
        if url is not None and not isinstance(url, str):
            raise InvalidInputError("the notify_url of a follower must be a URL")
        return cls(when=FollowWhen(when), notify_url=url or None)

    def to_json(self) -> dict[str, JSON]:
        """Return the JSON form, without what is not given."""
        form: dict[str, JSON] = {"when": str(self.when)}
        if self.notify_url is not None:
            form["notify_url"] = self.notify_url
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """A user who follows a repository."""

    user_id: UUID
    repository_id: UUID
    followed_at: datetime
    settings: FollowSettings

    @property
    def cursor(self) -> "FollowCursor":
        """The position after this one in the list of a user's follows."""
        return FollowCursor(followed_at=self.followed_at, repository_id=self.repository_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowCursor:
    """The position in a list of a user's follows, newest first, after which the next page starts."""

    followed_at: datetime
    repository_id: UUID
