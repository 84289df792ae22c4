"""Shared reports: read one by its code, share one's own, withdraw it; and badges."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import (
    NotFoundError,
    ReportGoneError,
    ReportPasswordError,
    TooManyAttemptsError,
)
from domain.reports import MAX_LISTED_REPORTS, READER_HOURS, SharedReport
from domain.text import one_line
from worker.client import ExportFormat
from worker.export.html.report import style_sheet
from worker.export.html.values import moment
from worker.http.api.answers import immutable_response
from worker.http.api.paths import RunId, parse_id
from worker.http.caller import client_of
from worker.http.middleware.context import context_of
from worker.http.middleware.headers import header_values
from worker.http.pages.layout.forms import number_field, read_fields
from worker.http.pages.layout.rendering import HTML, page, see_other
from worker.http.pages.layout.visitor import Managing, Reading, cookie_text
from worker.http.problems import NO_SUCH_THING, NOT_FOUND, ProblemError
from worker.http.service import service_of

router = APIRouter(include_in_schema=False)

Code = Annotated[str, Path(max_length=200)]
READER_COOKIE = "vibe8_reader"
"""Opens the one report at whose path it is sent, and nothing of a user's."""

REFUSED = (NotFoundError, ReportGoneError, ReportPasswordError, TooManyAttemptsError)

BADGES = {"svg": (ExportFormat.BADGE, "image/svg+xml"), "json": (ExportFormat.BADGE_JSON, "application/json")}
_PREVIEWS = re.compile(
    r"bot\b|crawler|spider|slackbot|facebookexternalhit|whatsapp|telegrambot|discordbot|twitterbot|linkedinbot|skypeuripreview"
    r"|embedly|preview|mattermost|teams",
    re.IGNORECASE,
)
"""Programs that fetch a link to show a preview of it: nobody has read the report."""


@router.get("/r/{code}")
async def read_report(request: Request, code: Code) -> Response:
    """Show a shared report, or the form for its password. Only a person's view is counted."""
    admitted = cookie_text(request, READER_COOKIE)
    try:
        return await _report(request, code, admitted, counts=_is_view(request))
    except REFUSED as error:
        return _refused(request, error)


@router.post("/r/{code}")
async def read_with_password(request: Request, code: Code) -> Response:
    """Show a shared report to one who knows its password, and later again without it."""
    fields = await read_fields(request, {"password"})
    try:
        admitted = await client_of(request).reports.admit(code, fields.get("password", ""))
        response = await _report(request, code, admitted, counts=True)
    except REFUSED as error:
        return _refused(request, error)
    if admitted is not None:
        response.set_cookie(
            READER_COOKIE,
            admitted,
            max_age=READER_HOURS * 3_600,
            path=request.url.path,
            secure=True,
            httponly=True,
            samesite="lax",
        )
    return response


def _refused(request: Request, error: Exception) -> Response:
    """Return the page for a report that is not shown: one of REFUSED."""
    if isinstance(error, NotFoundError):
        return _refusal(request, 404, "Not found", NO_SUCH_THING)
    if isinstance(error, ReportGoneError):
        return _refusal(request, 410, "No longer there", str(error))
    if isinstance(error, TooManyAttemptsError):
        refused = _refusal(request, 429, "Too many attempts", str(error))
        refused.headers["Retry-After"] = str(error.reset_seconds)
        return refused
    wrong = one_line(str(error)) if isinstance(error, ReportPasswordError) and error.given else None
    asked = page(request, "sharing/shared_password.html", 401, error=wrong)
    asked.headers["X-Robots-Tag"] = "noindex"
    return asked


async def _report(request: Request, code: str, admitted: str | None, *, counts: bool) -> Response:
    document = await client_of(request).reports.view(code, counts=counts, admitted=admitted)
    policy = (
        f"default-src 'none'; style-src '{style_sheet()[1]}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    return Response(document, 200, headers, HTML)


def _refusal(request: Request, status: int, title: str, detail: str) -> Response:
    response = page(request, "error.html", status, title=title, detail=one_line(detail, 300))
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _is_view(request: Request) -> bool:
    """Return whether a person is about to read what is asked for: no HEAD, no prefetch, no preview of a link."""
    purposes = [value for name in ("sec-purpose", "purpose", "x-moz") for value in header_values(request.scope, name)]
    agents = header_values(request.scope, "user-agent")
    return (
        context_of(request).method == "GET"
        and not any("prefetch" in purpose.lower() for purpose in purposes)
        and not any(_PREVIEWS.search(agent) for agent in agents)
    )


@router.get("/badge/{name}")
async def read_badge(request: Request, name: Annotated[str, Path(max_length=200)]) -> Response:
    """Return the badge of a shared report, `CODE.svg` or `CODE.json`; a grey one for a code that shows nothing."""
    code, _, ending = name.rpartition(".")
    if ending not in BADGES:
        raise ProblemError(NOT_FOUND, NO_SUCH_THING)
    form, media_type = BADGES[ending]
    badge = await service_of(request).client.reports.badge(code, form)
    response = immutable_response(request, badge, media_type)
    # Other sites show badges; a cache must ask each time, since the next run changes them.
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@router.post("/runs/{run_id}/share")
async def share_run(request: Request, visitor: Managing, run_id: RunId) -> Response:
    """Share the report of a run as the form says, and show its link."""
    fields = await read_fields(request, {"password", "days", "views"})
    expires = number_field(fields.get("days", ""), "days", 3_650)
    await visitor.client.reports.create(
        visitor.user_id,
        parse_id(run_id),
        password=fields.get("password") or None,
        expires_at=None if expires is None else datetime.now(UTC) + timedelta(days=expires),
        max_views=number_field(fields.get("views", ""), "views", 1_000_000),
    )
    return see_other(request, "/shares")


@router.get("/shares")
async def show_shares(request: Request, visitor: Reading) -> Response:
    """Show the newest of the visitor's shared reports."""
    reports = await visitor.client.reports.list(visitor.user_id, limit=MAX_LISTED_REPORTS)
    return page(request, "sharing/shares.html", visitor=visitor, reports=[_row(each) for each in reports])


def _row(report: SharedReport) -> dict[str, object]:
    state = report.state(datetime.now(UTC))
    return {
        "code": report.code,
        "state": state,
        "is_open": state == "open",
        "run_id": str(report.run_id),
        "views": f"{report.view_count:,}" + (f" of {report.max_views:,}" if report.max_views else ""),
        "expires": moment(report.expires_at),
        "has_password": report.has_password,
        "created": moment(report.created_at),
    }


@router.post("/shares/{code}/withdraw")
async def withdraw(request: Request, visitor: Managing, code: Code) -> Response:
    """Make a code show nothing from now on."""
    await read_fields(request, ())
    await visitor.client.reports.withdraw(visitor.user_id, code)
    return see_other(request, "/shares")
