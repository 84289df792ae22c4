"""Limits of a request's body, applied while it arrives: its size, and the time that it may take."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.tracking.hooks import MAX_HOOK_BYTES
from worker.http.middleware.context import request_context
from worker.http.middleware.headers import header_values
from worker.http.options import FORM_BYTES, MB, HttpOptions
from worker.http.problems import MALFORMED, TIMEOUT, TOO_LARGE, ProblemError, problem_response

FORM_TYPE = "multipart/form-data"
HOOKS_PATH = "/api/v1/hooks/"


class BodyLayer:
    """ASGI middleware that refuses a body over its limit: by its declared length, else as soon as it exceeds it."""

    def __init__(self, app: ASGIApp, options: HttpOptions) -> None:
        self._app, self._options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts and that waits no longer than it should."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        lengths = header_values(scope, "content-length")
        if any(not length.isdecimal() for length in lengths) or len(set(lengths)) > 1:
            raise ProblemError(MALFORMED, "the Content-Length header must be one number")
        if lengths and int(lengths[0][:20]) > limit:
            raise _too_large(limit)
        body = _BoundedBody(receive, limit, self._options.body_seconds)

        async def send_unless_refused(message: Message) -> None:
            # A framework may turn an error of `receive` into an answer of its own, such as "the form cannot be parsed".
            if body.refused is None:
                await send(message)
            elif message["type"] == "http.response.start":
                await problem_response(body.refused, request_context(scope).request_id)(scope, receive, send)

        await self._app(scope, body, send_unless_refused)

    def _limit(self, scope: Scope) -> int:
        types = header_values(scope, "content-type")
        if scope["path"].find(HOOKS_PATH) >= 0:
            return MAX_HOOK_BYTES  # a push of many commits; the sender is no user and has only a signature
        is_form = bool(types) and types[0].lower().startswith(FORM_TYPE)
        return self._options.max_upload_bytes + FORM_BYTES if is_form else self._options.max_json_bytes


class _BoundedBody:
    """The `receive` of one request."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._received, self._complete = 0, False
        self.refused: ProblemError | None = None
        self._deadline = time.monotonic() + seconds * (1 + limit / MB)

    async def __call__(self) -> Message:
        """Return the next message. Raises ProblemError for a body that is too large or too slow."""
        if self._complete:  # what follows the body is the end of the connection, however late
            return await self._receive()
        pause = min(self._seconds, self._deadline - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, pause)):
                message = await self._receive()
        except TimeoutError:
            self.refused = ProblemError(TIMEOUT, "the body of the request came too slowly", {"Connection": "close"})
            raise self.refused from None
        self._received += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._received > self._limit:
            self.refused = _too_large(self._limit)
            raise self.refused
        return message


def _too_large(limit: int) -> ProblemError:
    detail = (
        f"the body is larger than {limit} bytes; leave out what is not Python, or submit a repository (MAX_UPLOAD_MB)"
    )
    return ProblemError(TOO_LARGE, detail, {"Connection": "close"})
