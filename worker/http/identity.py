"""Who makes a request: what an identified caller is, and ways to identify one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from starlette.requests import Request

from domain.keys import USER_PERMISSIONS, Permission, RateLimit
from worker.client import Client
from worker.http.address import client_for
from worker.http.middleware.headers import header_values
from worker.http.options import HttpOptions
from worker.http.problems import unauthenticated

__all__ = ["USER_PERMISSIONS", "BearerKeys", "FirstOf", "Identify", "Identity", "Permission", "RateLimit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller that has been authenticated, and what is left of the caller's rate limit, if there is one."""

    user_id: UUID
    permissions: frozenset[Permission]
    rate_limit: RateLimit | None = None


class Identify(Protocol):
    """Says who makes a request."""

    async def __call__(self, request: Request) -> Identity | None:
        """Return the caller; None where the request has no credentials of this kind.

        Raises ProblemError, or an error of `domain.errors`, for credentials that are not valid.
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


@dataclass(frozen=True, slots=True)
class BearerKeys:
    """API keys in the header `Authorization: Bearer KEY`."""

    client: Client
    options: HttpOptions

    async def __call__(self, request: Request) -> Identity | None:
        """See `Identify`. Each call counts as a request of the key."""
        values = header_values(request.scope, "authorization")
        if not values:
            return None
        scheme, _, text = values[0].partition(" ")
        if len(values) > 1 or scheme.lower() != "bearer":
            raise unauthenticated("the header must be one `Authorization: Bearer KEY`")
        key = await client_for(request, self.client, self.options).keys.authenticate(text.strip())
        return Identity(user_id=key.user_id, permissions=key.permissions, rate_limit=key.rate_limit)
