"""Who makes a request: bearer keys, and the header of a trusted proxy."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from starlette.requests import Request


class Permission(StrEnum):
    """What a caller may do. Each stands alone: none includes another."""

    READ = "read"
    SUBMIT = "submit"
    MANAGE = "manage"
    OPERATE = "operate"


USER_PERMISSIONS = frozenset({Permission.READ, Permission.SUBMIT, Permission.MANAGE})
"""What a user may do with what is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Requests that a caller has in a window of time: the limit, what is left, and the seconds until it is renewed."""

    limit: int
    remaining: int
    window_seconds: int
    reset_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller that has been authenticated."""

    user_id: UUID
    permissions: frozenset[Permission]
    quota: Quota | None = None


class Identify(Protocol):
    """Says who makes a request."""

    async def __call__(self, request: Request) -> Identity | None:
        """Return the caller; None where the request has no credentials of this kind.

        Raises ProblemError for credentials that are not valid.
        """
        ...


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of several ways of identification that finds credentials in the request."""

    ways: Sequence[Identify]

    async def __call__(self, request: Request) -> Identity | None:
        """See `Identify`."""
        for way in self.ways:
            if (identity := await way(request)) is not None:
                return identity
        return None
