"""The application: routes, layers, and answers to errors."""

import asyncio
from functools import cache
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from domain.errors import Vibe8Error
from infrastructure.json_codec import dumps
from infrastructure.observability.tracing import NoTracer, Tracer
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http.api.description.openapi import describe
from worker.http.api.routes import allowed_methods, api_routes
from worker.http.identity import FirstOf, Identify
from worker.http.middleware.bodies import BodyLayer
from worker.http.middleware.context import ContextLayer, context_of
from worker.http.middleware.head_requests import HeadRequestLayer
from worker.http.middleware.heads import HeadLayer
from worker.http.middleware.origins import OriginLayer
from worker.http.options import HttpOptions
from worker.http.pages.layout.visitor import SessionCookie, SignInNeededError
from worker.http.pages.routes import error_page, is_page, page_routes, sign_in_first
from worker.http.problems import INTERNAL, METHOD_NOT_ALLOWED, ProblemError, as_problem, problem_response
from worker.http.service import Service
from worker.http.streams import EventStreams

_HANDLED = (ProblemError, SignInNeededError, Vibe8Error, RequestValidationError, HTTPException, Exception)


def create_app(
    client: Client,
    *,
    identify: Identify,
    options: HttpOptions | None = None,
    operator: OperatorClient | None = None,
    tracer: Tracer | None = None,
    closing: asyncio.Event | None = None,
) -> ASGIApp:
    """Return the service as an ASGI application, to be run or to be mounted in another one.

    The client stays the caller's: it must be open as long as the application is used, on the same event loop.
    `identify` says who makes a request. Without an `operator` client there is no `/ops`. Set `closing` when the process
    is about to end: open event streams then end, and their readers connect to another replica.
    """
    options = options or HttpOptions()
    streams = EventStreams(options.max_streams, options.max_streams_per_user, closing or asyncio.Event())
    identify = FirstOf([identify, SessionCookie(client, options)])
    service = Service(client=client, identify=identify, options=options, streams=streams, operator=operator)
    app: ASGIApp = HeadRequestLayer(build_routes(service))
    app = BodyLayer(app, options)
    app = OriginLayer(app, options)
    app = HeadLayer(app)
    app = ContextLayer(app, tracer or NoTracer())
    if options.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID"],
            expose_headers=["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
        )
    return app


def build_routes(service: Service) -> FastAPI:
    """Return the routes with their errors, without the layers that every request passes before."""
    app = FastAPI(
        title="vibe8",
        version=version("vibe8-worker"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(_HANDLED, _answer_error),
    )
    app.state.service, app.state.description = service, _description
    app.router.routes.extend([*api_routes(), *page_routes()])
    return app


@cache
def _description() -> bytes:
    """Return the description of the API, which is the same for every application; made when it is first asked for."""
    return dumps(describe(api_routes()))


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer an error that a route raised. An unexpected one is raised again afterwards, and logged by its layer."""
    if isinstance(error, SignInNeededError):
        return sign_in_first(request, error)
    request_id = context_of(request).request_id
    problem = as_problem(error) or ProblemError(INTERNAL, f"the service failed; its log has request {request_id}")
    if problem.problem is METHOD_NOT_ALLOWED:
        problem.headers = {"Allow": allowed_methods([*api_routes(), *page_routes()], _route_path(request))}
    if is_page(request, _route_path(request)):
        return error_page(request, problem)
    return problem_response(problem, request_id)


def _route_path(request: Request) -> str:
    """Return the request's path within this application, which may be mounted in another one."""
    path, root = str(request.scope["path"]), str(request.scope.get("root_path", ""))
    return path.removeprefix(root)
