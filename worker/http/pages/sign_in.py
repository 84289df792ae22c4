"""Sign in, with an API key or with a link that works once; sign out."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import InvalidKeyError, RateLimitedError
from domain.text import one_line
from worker.http.caller import client_of
from worker.http.pages.layout.forms import read_fields
from worker.http.pages.layout.rendering import own_path, page, see_other
from worker.http.pages.layout.visitor import delete_cookie, require_own_page, session_text, set_cookie
from worker.http.service import service_of

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def show_sign_in(request: Request, next: Annotated[str | None, Query()] = None) -> Response:  # noqa: A002 - its name in the URL
    """Show the form for an API key."""
    return page(request, "sign_in.html", secret=None, next=own_path(next), error=None)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begin a session with the key of the form. An API key in a form of another site is refused."""
    require_own_page(request)
    fields = await read_fields(request, {"key", "next"})
    wanted = own_path(fields.get("next"))
    try:
        created = await client_of(request).sessions.begin_by_key(fields.get("key", "").strip())
    except (InvalidKeyError, RateLimitedError) as error:
        status = 401 if isinstance(error, InvalidKeyError) else 429
        return page(request, "sign_in.html", status, secret=None, next=wanted, error=one_line(str(error)))
    return set_cookie(request, see_other(request, wanted), created.text)


@router.get("/sign-in/{secret}")
async def show_link(request: Request, secret: str) -> Response:
    """Show a button. Looking at the page does not use the link up: programs that preview links look too."""
    try:
        await service_of(request).client.sessions.check_link(secret)
    except InvalidKeyError as error:
        return page(request, "sign_in.html", 401, secret=None, next="/", error=one_line(str(error)))
    return page(request, "sign_in.html", secret=secret, next="/", error=None)


@router.post("/sign-in/{secret}")
async def use_link(request: Request, secret: str) -> Response:
    """Begin a session with the link."""
    require_own_page(request)
    try:
        created = await client_of(request).sessions.begin_by_link(secret)
    except InvalidKeyError as error:
        return page(request, "sign_in.html", 401, secret=None, next="/", error=one_line(str(error)))
    return set_cookie(request, see_other(request, "/"), created.text)


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session."""
    require_own_page(request)
    if (text := session_text(request)) is not None:
        await client_of(request).sessions.end(text)
    return delete_cookie(request, see_other(request, "/sign-in"))
