"""Errors as RFC 9457 problem documents: one table of stable codes, and the answer for each exception."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from domain import errors
from domain.keys import RATE_WINDOW_SECONDS
from domain.text import JSON, one_line
from infrastructure.json_codec import dumps

MEDIA_TYPE = "application/problem+json"
TYPES_PATH = "/api/v1/problems"
"""Where the codes are explained; the `type` of a problem is this path and its code."""

MAX_NAMED_FIELDS = 20
"""Fields of a request that one answer names at most."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of error. Programs may rely on `code`; the other texts may change."""

    code: str
    status: int
    title: str
    meaning: str


MALFORMED = Problem("malformed", 400, "The request cannot be read", "No JSON, no form, or a header it may not have.")
UNAUTHENTICATED = Problem("unauthenticated", 401, "Who are you?", "No credentials, or none that are valid.")
PERMISSION_MISSING = Problem("permission_missing", 403, "Not permitted", "The key lacks the permission of this call.")
CROSS_SITE = Problem("cross_site", 403, "Sent by another site", "A page of another origin made a browser send this.")
NOT_FOUND = Problem("not_found", 404, "Not found", "Unknown, deleted, or another user's: the answer is the same.")
METHOD_NOT_ALLOWED = Problem("method_not_allowed", 405, "Method not allowed", "The header `Allow` names the methods.")
TIMEOUT = Problem("timeout", 408, "The body came too slowly", "Send it faster, or in one piece.")
CONFLICT = Problem("conflict", 409, "Not in this state", "The state of the job does not allow this change.")
GONE = Problem("gone", 410, "No longer there", "It was there and has expired.")
TOO_LARGE = Problem("too_large", 413, "Too large", "The body exceeds the limit that `detail` names.")
MEDIA_TYPE_UNSUPPORTED = Problem("media_type", 415, "Wrong content type", "`detail` names the accepted ones.")
MISDIRECTED = Problem("host_unknown", 421, "Unknown host name", "HTTP_ALLOWED_HOSTS does not have the request's host.")
INVALID_REQUEST = Problem("invalid_request", 422, "Invalid parameters", "`errors` says which fields, and why.")
INVALID_INPUT = Problem("invalid_input", 422, "Invalid input", "`detail` says what to change.")
LIMIT_EXCEEDED = Problem("limit_exceeded", 429, "A limit is reached", "A limit of the user; `detail` says which.")
RATE_LIMITED = Problem("rate_limited", 429, "Too many requests", "Try again after `Retry-After` seconds.")
TOO_MANY_STREAMS = Problem("too_many_streams", 429, "Too many open streams", "Close one, or poll the job instead.")
INTERNAL = Problem("internal", 500, "A fault of the service", "The log has more beside the `request_id`.")
UNAVAILABLE = Problem("unavailable", 503, "A service is away", "PostgreSQL or Redis cannot be reached; try again.")
STREAMS_FULL = Problem("streams_full", 503, "No event stream is free", "The process has as many as it may; try again.")

PROBLEMS: Sequence[Problem] = (
    MALFORMED, UNAUTHENTICATED, PERMISSION_MISSING, CROSS_SITE, NOT_FOUND, METHOD_NOT_ALLOWED, TIMEOUT, CONFLICT, GONE,
    TOO_LARGE, MEDIA_TYPE_UNSUPPORTED, MISDIRECTED, INVALID_REQUEST, INVALID_INPUT, LIMIT_EXCEEDED, RATE_LIMITED,
    TOO_MANY_STREAMS, INTERNAL, UNAVAILABLE, STREAMS_FULL,
)  # fmt: skip

NO_SUCH_THING = "there is nothing with this name, or it is another user's"
"""The same text for what does not exist and for what belongs to somebody else."""

RETRY_SECONDS = 5
"""`Retry-After` while a service is away."""


@dataclass(slots=True)
class ProblemError(Exception):
    """An error of the HTTP layer: its kind, one line of detail, and headers that the answer needs."""

    problem: Problem
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[Mapping[str, JSON]] = ()


def unauthenticated(detail: str) -> ProblemError:
    """Return the error for a request whose sender is not known."""
    return ProblemError(UNAUTHENTICATED, detail, {"WWW-Authenticate": "Bearer"})


def problem_response(error: ProblemError, request_id: str) -> Response:
    """Return the answer of an error."""
    problem = error.problem
    document: dict[str, JSON] = {
        "type": f"{TYPES_PATH}#{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if error.fields:
        document["errors"] = [dict(each) for each in error.fields]
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(dumps(document), problem.status, headers, MEDIA_TYPE)


def as_problem(error: Exception) -> ProblemError | None:
    """Return the problem that an expected error is; None for an unexpected one."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, errors.Vibe8Error):
        return _of_program(error)
    if isinstance(error, RequestValidationError):
        return ProblemError(INVALID_REQUEST, "the request has invalid parameters", fields=_fields(error))
    if isinstance(error, HTTPException):
        return _of_framework(error)
    return None


def _of_program(error: errors.Vibe8Error) -> ProblemError | None:
    if isinstance(error, errors.NotFoundError | errors.ForbiddenError):
        return ProblemError(NOT_FOUND, NO_SUCH_THING)
    if isinstance(error, errors.InvalidKeyError):
        return unauthenticated(one_line(str(error)))
    if isinstance(error, errors.LimitExceededError):
        return _of_limit(error)
    if isinstance(error, errors.ServiceUnavailableError):
        return ProblemError(UNAVAILABLE, one_line(str(error)), {"Retry-After": str(RETRY_SECONDS)})
    kinds = {
        errors.ReportGoneError: GONE,
        errors.ReportPasswordError: UNAUTHENTICATED,
        errors.PermissionDeniedError: PERMISSION_MISSING,
        errors.IllegalTransitionError: CONFLICT,
        errors.InvalidInputError: INVALID_INPUT,
    }
    found = next((problem for kind, problem in kinds.items() if isinstance(error, kind)), None)
    return None if found is None else ProblemError(found, one_line(str(error), 2_000))


def _of_limit(error: errors.LimitExceededError) -> ProblemError:
    """Return the problem of a limit, with when to come again if time helps."""
    detail = one_line(str(error), 2_000)
    if isinstance(error, errors.RateLimitedError):
        return ProblemError(RATE_LIMITED, detail, rate_limit_headers(error))
    if isinstance(error, errors.TooManyAttemptsError):
        return ProblemError(RATE_LIMITED, detail, {"Retry-After": str(max(1, error.reset_seconds))})
    if error.resets_at is None:
        return ProblemError(LIMIT_EXCEEDED, detail)
    left = math.ceil((error.resets_at - datetime.now(UTC)).total_seconds())
    return ProblemError(LIMIT_EXCEEDED, detail, {"Retry-After": str(max(1, left))})


def rate_limit_headers(error: errors.RateLimitedError) -> dict[str, str]:
    """Return what an exhausted key is told: its limit, and when it may go on."""
    return {
        "Retry-After": str(max(1, error.reset_seconds)),
        "RateLimit-Policy": f'"key";q={error.limit};w={RATE_WINDOW_SECONDS}',
        "RateLimit": f'"key";r=0;t={error.reset_seconds}',
    }


def _of_framework(error: HTTPException) -> ProblemError:
    """Return the problem of an error that FastAPI or Starlette raised: no such path, no such method, a bad body."""
    problem = next((each for each in PROBLEMS if each.status == error.status_code), MALFORMED)
    detail = NO_SUCH_THING if problem is NOT_FOUND else one_line(str(error.detail))
    return ProblemError(problem, detail, dict(error.headers or {}))


def _fields(error: RequestValidationError) -> list[dict[str, JSON]]:
    """Return the invalid fields, without their values: these may be secrets."""
    return [
        {
            "field": one_line(".".join(str(part) for part in each["loc"]), 200),
            "message": one_line(str(each["msg"]).removeprefix("Value error, "), 500),
        }
        for each in error.errors()[:MAX_NAMED_FIELDS]
    ]
