"""The exception for an answer that is an error."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from vibe8.errors import FieldError, InvalidAnswerError, Vibe8Error, error_class

MEDIA_TYPE = "application/problem+json"
MAX_TEXT = 2_000
"""Characters of a text of the service that an exception has at most."""


def error_of(status: int, headers: httpx.Headers, body: bytes) -> Vibe8Error:
    """Return the exception for an answer whose status is no success."""
    if 300 <= status < 400:
        return InvalidAnswerError(_redirected(status, headers))
    problem = _problem(headers, body)
    code = _text(problem.get("code"), f"http_{status}")
    return error_class(status, code)(
        status=status,
        code=code,
        title=_text(problem.get("title"), httpx.codes.get_reason_phrase(status) or "an error"),
        detail=_text(problem.get("detail")),
        request_id=_text(problem.get("request_id"), headers.get("X-Request-Id", "")) or None,
        retry_after=retry_after(headers),
        errors=_fields(problem.get("errors")),
    )


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds of `Retry-After`, which may be a date; None where there is none that can be read."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # also for a date without a time zone
        return None


def _redirected(status: int, headers: httpx.Headers) -> str:
    """Return what a redirect is answered with: the client follows none, as its requests have a key."""
    try:
        target = httpx.URL(headers.get("Location", "")).copy_with(username=None, password=None, query=None)
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL("")
    return (
        f"the service redirects ({status}) to {str(target)[:200] or 'nowhere'}, which is not followed; use its address"
    )


def _problem(headers: httpx.Headers, body: bytes) -> dict[str, Any]:
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object, otherwise: str = "") -> str:
    return value[:MAX_TEXT] if isinstance(value, str) and value else otherwise


def _fields(value: object) -> list[FieldError]:
    found = value if isinstance(value, list) else []
    return [
        FieldError(field=_text(each.get("field")), message=_text(each.get("message")))
        for each in found
        if isinstance(each, dict)
    ]
