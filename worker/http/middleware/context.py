"""The outermost layer of a request: its id, the log entry, metrics, headers of every answer, and unexpected errors."""

import re
import time
import uuid
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.keys import RateLimit
from infrastructure.observability.http_metrics import REQUEST_SECONDS, REQUESTS
from infrastructure.observability.tracing import Tracer
from worker.http.middleware.headers import only_header
from worker.http.problems import INTERNAL, ProblemError, as_problem, problem_response

STATE_KEY = "vibe8"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SECRET = re.compile(r"(/(?:sign-in|r|badge|reports|shares)/)[^/]+")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN_ROUTE = "(none)"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not set its own."""

_SECURITY_HEADERS = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RequestContext:
    """What is known of a request while it is answered."""

    request_id: str
    method: str
    """As it was sent: routes see a HEAD as a GET."""

    started: float = field(default_factory=time.monotonic)
    rate_limit: RateLimit | None = None
    user_id: str | None = None
    status: int = 0

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        return self.status > 0


def request_context(scope: MutableMapping[str, Any]) -> RequestContext:
    """Return the context of a request that has passed the layer below."""
    context: RequestContext = scope["state"][STATE_KEY]
    return context


class ContextLayer:
    """ASGI middleware, the outermost one. It lets no exception through but cancellation."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; refuse WebSockets."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(_request_id(scope), scope["method"])
        scope.setdefault("state", {})[STATE_KEY] = context

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = [*(sent := message.get("headers", ())), *_missing_headers(sent, context)]
            await send(message)

        name, attributes = (
            f"HTTP {scope['method']}",
            {"url.path": path_without_secrets(scope["path"]), "request_id": context.request_id},
        )
        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            try:
                with self._tracer.span(name, attributes):
                    await self._app(scope, receive, send_with_headers)
            except Exception as error:  # noqa: BLE001 - the last one who can answer
                await _answer_error(error, scope, receive, send_with_headers)
            finally:
                _record(scope, context)


async def _answer_error(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    context, problem = request_context(scope), as_problem(error)
    if problem is None:
        log.error("http.request_failed", path=path_without_secrets(scope["path"]), exc_info=error)
        problem = ProblemError(INTERNAL, f"the service failed; its log has more about request {context.request_id}")
    if not context.answered:
        await problem_response(problem, context.request_id)(scope, receive, send)


def _request_id(scope: Scope) -> str:
    """Return the caller's id of the request if it is a plain one, else a new one."""
    given = only_header(scope, "x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def path_without_secrets(path: str) -> str:
    """Return a path as logs and traces may have it: a link that signs in, and a report's code, open what they name."""
    return _SECRET.sub(r"\1***", path)[:200]


def _missing_headers(headers: Iterable[tuple[bytes, bytes]], context: RequestContext) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that every answer has, but for those of SECURITY_HEADERS that this one has set."""
    present = {name.lower() for name, _ in headers}
    yield b"x-request-id", context.request_id.encode()
    for header in _SECURITY_HEADERS:
        if header[0] not in present:
            yield header
    if (limit := context.rate_limit) is not None:
        # draft-ietf-httpapi-ratelimit-headers-10: the policy (quota, window), and what is left of it.
        yield b"ratelimit-policy", f'"key";q={limit.limit};w={limit.window_seconds}'.encode()
        yield b"ratelimit", f'"key";r={limit.remaining};t={limit.reset_seconds}'.encode()


def _record(scope: Scope, context: RequestContext) -> None:
    """Count the request by its route, never by its path: paths are without number."""
    seconds = time.monotonic() - context.started
    route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, request_seconds = _series(method, route, context.status)
    requests.inc()
    request_seconds.observe(seconds)
    quiet = method in ("GET", "HEAD") and 0 < context.status < 400
    (log.debug if quiet else log.info)(
        "http.request",
        method=method,
        route=route,
        status=context.status,
        user_id=context.user_id,
        duration_ms=round(seconds * 1000),
    )


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the time series of such requests: they are as many as there are routes, methods and statuses."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route)


def context_of(request: Request) -> RequestContext:
    """Return the context of a request."""
    return request_context(request.scope)
