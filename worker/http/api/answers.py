"""Answers of the API: documents as JSON, with an ETag where they do not change, and cursors of pages."""

import base64
import hashlib
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from domain.errors import InvalidInputError
from domain.text import JSON
from infrastructure.json_codec import dumps, loads
from worker.http.api.paths import API_PREFIX
from worker.http.api.request_bodies import without_nul
from worker.http.middleware.headers import header_values

JSON_TYPE = "application/json"
MAX_CURSOR = 400


def json_response(document: JSON, status: int = 200, **headers: str) -> Response:
    """Return a document that may change with the next request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(dumps(document), status, named, JSON_TYPE)


def located_response(request: Request, document: JSON, status: int, path: str) -> Response:
    """Return a document that the request has made, which is at `path` below API_PREFIX from now on."""
    return json_response(document, status, Location=f"{request.scope['root_path']}{API_PREFIX}{path}")


def immutable_response(request: Request, body: bytes, media_type: str = JSON_TYPE, **headers: str) -> Response:
    """Return a document that is the same until it is deleted: 304 without it where the caller has it already.

    A browser asks again each time, since the caller's right to read it may have ended.
    """
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    shared = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie", **named}
    if _has_etag(request, etag):
        return Response(status_code=304, headers=shared)
    return Response(body, 200, shared, media_type)


def _has_etag(request: Request, etag: str) -> bool:
    given = [each.strip() for value in header_values(request.scope, "if-none-match") for each in value.split(",")]
    return any(each.removeprefix("W/") == etag or each == "*" for each in given)


def write_cursor(moment: datetime, item_id: str) -> str:
    """Return the text that stands for a place in a list, to be sent back as it is."""
    return base64.urlsafe_b64encode(dumps([moment.isoformat(), item_id])).decode().rstrip("=")


def read_cursor(text: str) -> tuple[datetime, str]:
    """Return the place that a cursor stands for. Raises InvalidInputError for one that no answer has contained."""
    try:
        moment, item_id = loads(base64.urlsafe_b64decode(text[:MAX_CURSOR] + "=" * (-len(text) % 4)))
        read = datetime.fromisoformat(moment)
        known = read.tzinfo is not None and isinstance(item_id, str) and "\0" not in item_id
        read = read.astimezone(UTC)  # PostgreSQL's driver does so too, and some times have none in UTC
    except (ValueError, TypeError, OverflowError, RecursionError):
        known = False
    if not known:
        raise InvalidInputError("the cursor is not one that this API has given; begin without one")
    return read, item_id


def write_text_cursor(text: str) -> str:
    """Return the text that stands for a place in a list that is ordered by a text."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def read_text_cursor(text: str) -> str:
    """Return the place that such a cursor stands for. Raises InvalidInputError for one that no answer has contained."""
    try:
        place = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        without_nul(place)
    except ValueError:
        raise InvalidInputError("the cursor is not one that this API has given; begin without one") from None
    return place
