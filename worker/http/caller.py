"""The caller of a route: identified, permitted, and with a client that writes the request into the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request

from worker.client import Client
from worker.http.identity import Identity, Permission
from worker.http.middleware.context import context_of
from worker.http.middleware.headers import header_values, only_header
from worker.http.options import HttpOptions
from worker.http.problems import PERMISSION_MISSING, ProblemError, unauthenticated
from worker.http.service import service_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes the request. `client` leaves the request's address and agent in the audit log."""

    identity: Identity
    client: Client

    @property
    def user_id(self) -> UUID:
        """The user in whose name the request is made."""
        return self.identity.user_id


@dataclass(frozen=True, slots=True)
class Permit:
    """A dependency that returns the caller. Raises ProblemError for one who is unknown or lacks the permission."""

    permission: Permission

    async def __call__(self, request: Request) -> Caller:
        """See the class."""
        service, context = service_of(request), context_of(request)
        identity = await service.identify(request)
        if identity is None:
            raise unauthenticated("send an API key in the header `Authorization: Bearer ...`")
        context.quota, context.user_id = identity.quota, str(identity.user_id)
        if self.permission not in identity.permissions:
            raise ProblemError(PERMISSION_MISSING, f"this call needs the permission {self.permission.value!r}")
        client = service.client.for_request(client_address(request, service.options), user_agent(request))
        return Caller(identity=identity, client=client)


def client_address(request: Request, options: HttpOptions) -> str | None:
    """Return the address of the one who made the request: the peer's, or what a trusted proxy says.

    Of several addresses in `X-Forwarded-For`, the last that is no trusted proxy: the ones before it anyone can write.
    """
    peer = None if request.client is None else request.client.host
    if not options.trusts(peer):
        return peer
    forwarded: Sequence[str] = [
        address.strip() for value in header_values(request.scope, "x-forwarded-for") for address in value.split(",")
    ]
    return next((address for address in reversed(forwarded) if not options.trusts(address)), peer)


def user_agent(request: Request) -> str | None:
    """Return the program that made the request."""
    return only_header(request.scope, "user-agent")


Reader = Annotated[Caller, Depends(Permit(Permission.READ))]
Submitter = Annotated[Caller, Depends(Permit(Permission.SUBMIT))]
Manager = Annotated[Caller, Depends(Permit(Permission.MANAGE))]
Operator = Annotated[Caller, Depends(Permit(Permission.OPERATE))]
