"""Shared reports of the caller: share a run, list, withdraw. Whoever has the code reads the page `/r/CODE`."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.reports import MAX_VIEWS, ReportCursor
from worker.http.api.answers import json_response, located_response, read_cursor, write_cursor
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Moment, Text
from worker.http.caller import Manager, Reader

router = APIRouter(prefix=f"{API_PREFIX}/reports", tags=["reports"])

Code = Annotated[str, Path(max_length=200, description="The code of a shared report.")]


class NewReport(Body):
    """A report to be shared: anyone with its code can read it, without the names of people."""

    run_id: Text
    """The run whose report it is."""
    password: Text | None = None
    """What its readers must know."""
    expires_at: Moment | None = None
    """Until when it can be read, with its time zone; null: until it is withdrawn."""
    max_views: Annotated[int, Field(ge=1, le=MAX_VIEWS)] | None = None
    """How often it can be read."""


@router.post("", status_code=201)
async def share_report(
    request: Request, caller: Manager, wanted: Annotated[NewReport, Depends(JsonBody(NewReport))]
) -> Response:
    """Share the report of a run under a new code. A run may be shared several times."""
    made = await caller.client.reports.create(
        caller.user_id,
        parse_id(wanted.run_id),
        password=wanted.password,
        expires_at=wanted.expires_at,
        max_views=wanted.max_views,
    )
    return located_response(request, made.to_json(datetime.now(UTC)), 201, f"/reports/{made.code}")


@router.get("")
async def list_reports(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List your shared reports, newest first, also withdrawn ones."""
    after = None if cursor is None else _cursor(cursor)
    # A full page may be the last one; the one after it is then empty. The client lists no more than a page may have.
    found = await caller.client.reports.list(caller.user_id, limit=limit, after=after)
    following = write_cursor(found[-1].created_at, str(found[-1].report_id)) if len(found) == limit else None
    now = datetime.now(UTC)
    return json_response({"reports": [report.to_json(now) for report in found], "next": following})


def _cursor(text: str) -> ReportCursor:
    created_at, report_id = read_cursor(text)
    return ReportCursor(created_at=created_at, report_id=parse_id(report_id))


@router.get("/{code}")
async def get_report(caller: Reader, code: Code) -> Response:
    """Return a shared report of yours: its state, and how often it was read."""
    return json_response((await caller.client.reports.get(caller.user_id, code)).to_json(datetime.now(UTC)))


@router.delete("/{code}")
async def withdraw_report(caller: Manager, code: Code) -> Response:
    """Withdraw a shared report: its code shows nothing from now on. It stays in the list."""
    return json_response((await caller.client.reports.withdraw(caller.user_id, code)).to_json(datetime.now(UTC)))
