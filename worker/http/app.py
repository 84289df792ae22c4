"""The application: routes, layers, and answers to errors."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from domain.errors import Vibe8Error
from infrastructure.observability.tracing import NoTracer, Tracer
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http.api.routes import api_router
from worker.http.identity import Identify
from worker.http.middleware.bodies import BodyLayer
from worker.http.middleware.context import ContextLayer, context_of
from worker.http.middleware.origins import OriginLayer
from worker.http.options import HttpOptions
from worker.http.problems import INTERNAL, ProblemError, as_problem, problem_response
from worker.http.service import Service

_HANDLED = (ProblemError, Vibe8Error, RequestValidationError, HTTPException, Exception)


def create_app(
    client: Client,
    *,
    identify: Identify,
    options: HttpOptions | None = None,
    operator: OperatorClient | None = None,
    tracer: Tracer | None = None,
) -> ASGIApp:
    """Return the service as an ASGI application, to be run or to be mounted in another one.

    The client stays the caller's: it must be open as long as the application is used, on the same event loop.
    `identify` says who makes a request. Without an `operator` client there is no `/ops`.
    """
    service = Service(client=client, identify=identify, options=options or HttpOptions(), operator=operator)
    app: ASGIApp = build_routes(service)
    app = BodyLayer(app, service.options)
    app = OriginLayer(app, service.options)
    app = ContextLayer(app, tracer or NoTracer())
    if service.options.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(service.options.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
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
    app.state.service = service
    app.include_router(api_router())
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer an error that a route raised. An unexpected one is raised again afterwards, and logged by its layer."""
    request_id = context_of(request).request_id
    problem = as_problem(error) or ProblemError(INTERNAL, f"the service failed; its log has request {request_id}")
    return problem_response(problem, request_id)
