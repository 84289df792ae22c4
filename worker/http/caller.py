"""The caller of a route: identified, permitted, and with a client that writes the request into the audit log."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request

from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http.address import client_address, client_for, user_agent
from worker.http.identity import Identity, Permission
from worker.http.middleware.context import context_of
from worker.http.problems import NOT_FOUND, PERMISSION_MISSING, ProblemError, unauthenticated
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
        context.rate_limit, context.user_id = identity.rate_limit, str(identity.user_id)
        if self.permission not in identity.permissions:
            raise ProblemError(PERMISSION_MISSING, f"this call needs the permission {self.permission.value!r}")
        return Caller(identity=identity, client=client_of(request))


def client_of(request: Request) -> Client:
    """Return a client whose acts have the request's address and agent in the audit log."""
    service = service_of(request)
    return client_for(request, service.client, service.options)


async def operator_of(
    request: Request, caller: Annotated[Caller, Depends(Permit(Permission.OPERATE))]
) -> OperatorClient:
    """Return a client on all users' jobs, for a caller with the permission `operate`. Raises ProblemError."""
    service = service_of(request)
    if service.operator is None:
        raise ProblemError(NOT_FOUND, "this service has no calls for operators")
    return service.operator.for_request(
        client_address(request, service.options), user_agent(request), operator_id=caller.user_id
    )


Operator = Annotated[OperatorClient, Depends(operator_of)]
Reader = Annotated[Caller, Depends(Permit(Permission.READ))]
Submitter = Annotated[Caller, Depends(Permit(Permission.SUBMIT))]
Manager = Annotated[Caller, Depends(Permit(Permission.MANAGE))]
