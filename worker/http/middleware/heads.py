"""Limits of a request's head: its size, what costs much to parse, and one way only to say how long the body is."""

from starlette.types import ASGIApp, Receive, Scope, Send

from worker.http.middleware.headers import header_values
from worker.http.problems import MALFORMED, ProblemError

MAX_HEAD_BYTES = 32 * 1024
"""Names and values of all headers. The server's own limit holds only for a head that arrives in several pieces."""

MAX_ESCAPES = 256
"""Backslashes in cookies. Python below 3.11.10 unquotes a cookie in a time that grows with the square of their number;
the framework parses all cookies of every request, also those that other services on this host have set."""


class HeadLayer:
    """ASGI middleware that refuses a head which is too large, or which two programs could read differently."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise ProblemError."""
        if scope["type"] == "http" and (reason := _refusal(scope)) is not None:
            raise ProblemError(MALFORMED, reason, {"Connection": "close"})
        await self._app(scope, receive, send)


def _refusal(scope: Scope) -> str | None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
        return f"the headers have more than {MAX_HEAD_BYTES} bytes"
    if sum(value.count("\\") for value in header_values(scope, "cookie")) > MAX_ESCAPES:
        return f"the cookies have more than {MAX_ESCAPES} backslashes"
    if header_values(scope, "transfer-encoding") and header_values(scope, "content-length"):
        return "the request has both Content-Length and Transfer-Encoding, which proxies read differently"
    return None
