"""HEAD: answered as GET is, by the same routes, without the body."""

from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _AnsweredError(OSError):
    """The answer to a HEAD is complete; what sends a stream takes this for a reader that has gone."""


class HeadRequestLayer:
    """ASGI middleware that makes a HEAD a GET, sends the headers of its answer, and ends an answer that streams.

    `RequestContext.method` says what was sent, for what must not happen on a HEAD, such as counting a view.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "method": "GET"}
        try:
            with suppress(_AnsweredError, ClientDisconnect):
                await self._app(inner, receive, _headers_alone(send))
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]  # what counts requests reads it


def _headers_alone(send: Send) -> Send:
    async def send_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif message.get("more_body", False):
            raise _AnsweredError

    return send_headers
