"""From where a request comes: the address and the program that the audit log gets, and the client that writes them."""

from collections.abc import Sequence

from starlette.requests import Request

from worker.client import Client
from worker.http.middleware.headers import header_values, only_header
from worker.http.options import HttpOptions

_CLIENT_KEY = "vibe8.client"


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


def client_for(request: Request, client: Client, options: HttpOptions) -> Client:
    """Return the client whose acts have the request's address and agent in the audit log, made once for a request."""
    state = request.scope["state"]
    made: tuple[Client, Client] | None = state.get(_CLIENT_KEY)
    if made is None or made[0] is not client:
        made = state[_CLIENT_KEY] = client, client.for_request(client_address(request, options), user_agent(request))
    return made[1]
