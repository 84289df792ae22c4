"""Identification by a header that only a trusted proxy may set."""

from dataclasses import dataclass

from starlette.requests import Request

from domain.errors import ForbiddenError, InvalidInputError
from worker.client import Client
from worker.http.identity import USER_PERMISSIONS, Identity, Permission
from worker.http.middleware.headers import header_values, spellings
from worker.http.options import HttpOptions
from worker.http.problems import MALFORMED, ProblemError, unauthenticated


@dataclass(frozen=True, slots=True)
class TrustedHeader:
    """The user's email in the header `HTTP_TRUSTED_USER_HEADER`, from a peer of `HTTP_TRUSTED_PROXIES`.

    From any other peer the header means nothing.
    """

    client: Client
    options: HttpOptions

    async def __call__(self, request: Request) -> Identity | None:
        """Return the user that the proxy names, made at first sight. Raises ProblemError."""
        name = self.options.trusted_user_header
        peer = None if request.client is None else request.client.host
        if name is None or not self.options.trusts(peer):
            return None
        found = spellings(request.scope, name)
        if not found:
            return None
        if found != [name]:
            # A proxy replaces the header it knows; a second one, or one with `_`, would be the caller's own.
            raise ProblemError(MALFORMED, f"the request has the header {name} several times, or with underscores")
        (email,) = header_values(request.scope, name)
        try:
            user_id = await self.client.get_or_create_user(email)
        except (InvalidInputError, ForbiddenError):
            raise unauthenticated(f"the header {name} names no valid user") from None
        operates = email.strip().lower() in self.options.operators
        permissions = USER_PERMISSIONS | {Permission.OPERATE} if operates else USER_PERMISSIONS
        return Identity(user_id=user_id, permissions=permissions)
