"""Limits of a request's body, applied while it arrives: its size, the time that it may take, and the memory of all."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.tracking.hooks import MAX_HOOK_BYTES
from worker.http.middleware.context import request_context
from worker.http.middleware.headers import header_values
from worker.http.options import FORM_BYTES, MB, HttpOptions
from worker.http.problems import MALFORMED, TIMEOUT, TOO_LARGE, UNAVAILABLE, ProblemError, problem_response

FORM_TYPE = "multipart/form-data"
HOOKS_PATH = "/api/v1/hooks/"
MAX_HELD_BYTES = 256 * MB
"""Bodies of all requests at the same time; at least four uploads fit."""

MAX_HELD_HOOK_BYTES = 64 * MB
"""Bodies of hooks have a share of their own: anyone can send one."""

RETRY_SECONDS = 5
LINGER_SECONDS = 10.0
"""How long the rest of a refused body may take. What arrives is dropped."""


@dataclass(slots=True)
class _Share:
    """Memory for bodies, and what of it is in use."""

    limit: int
    held: int = 0


class BodyLayer:
    """ASGI middleware that refuses a body over its limit: by its declared length, else as soon as it exceeds it."""

    def __init__(self, app: ASGIApp, options: HttpOptions) -> None:
        self._app, self._options = app, options
        self._hooks = _Share(MAX_HELD_HOOK_BYTES)
        self._others = _Share(max(MAX_HELD_BYTES, 4 * options.max_upload_bytes))

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
            await _refuse(_too_large(limit), scope, receive, send)
        else:
            share = self._hooks if _is_hook(scope) else self._others
            body = _BoundedBody(receive, limit, self._options.body_seconds, share)
            try:
                await self._pass_on(body, scope, receive, send)
            finally:
                share.held -= body.received

    async def _pass_on(self, body: "_BoundedBody", scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unless_refused(message: Message) -> None:
            # A framework may turn an error of `receive` into an answer of its own, such as "the form cannot be parsed".
            if body.refused is None:
                await send(message)

        try:
            await self._app(scope, body, send_unless_refused)
        except ProblemError as error:
            if error is not body.refused:
                raise
        if body.refused is not None:
            await _refuse(body.refused, scope, receive, send)

    def _limit(self, scope: Scope) -> int:
        types = header_values(scope, "content-type")
        if _is_hook(scope):
            return MAX_HOOK_BYTES  # a push of many commits; the sender is no user and has only a signature
        is_form = bool(types) and types[0].lower().startswith(FORM_TYPE)
        return self._options.max_upload_bytes + FORM_BYTES if is_form else self._options.max_json_bytes


def _is_hook(scope: Scope) -> bool:
    return HOOKS_PATH in scope["path"]


class _BoundedBody:
    """The `receive` of one request."""

    def __init__(self, receive: Receive, limit: int, seconds: float, share: _Share) -> None:
        self._receive, self._limit, self._seconds, self._share = receive, limit, seconds, share
        self.received, self._complete = 0, False
        self.refused: ProblemError | None = None
        self._deadline = time.monotonic() + seconds * (1 + limit / MB)

    async def __call__(self) -> Message:
        """Return the next message. Raises ProblemError for a body that is too large or too slow, or finds no memory."""
        if self._complete:  # what follows the body is the end of the connection, however late
            return await self._receive()
        pause = min(self._seconds, self._deadline - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, pause)):
                message = await self._receive()
        except TimeoutError:
            self.refused = ProblemError(TIMEOUT, "the body of the request came too slowly", {"Connection": "close"})
            raise self.refused from None
        arrived = len(message.get("body", b""))
        self.received += arrived
        self._share.held += arrived
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self.received > self._limit:
            self.refused = _too_large(self._limit)
        elif self._share.held > self._share.limit:
            headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}
            self.refused = ProblemError(UNAVAILABLE, "too many large bodies arrive at once; try again", headers)
        if self.refused is not None:
            raise self.refused
        return message


async def _refuse(error: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and read what still arrives for a while before the connection is closed.

    Closed at once, the peer's next bytes would be answered by a reset, and many clients would not see the answer.
    """

    async def send_open(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await problem_response(error, request_context(scope).request_id)(scope, receive, send_open)
    if error.problem is TOO_LARGE:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(limit: int) -> ProblemError:
    detail = (
        f"the body is larger than {limit} bytes; leave out what is not Python, or submit a repository (MAX_UPLOAD_MB)"
    )
    return ProblemError(TOO_LARGE, detail, {"Connection": "close"})
