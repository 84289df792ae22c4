"""Lists of tracked repositories: one's own, those one follows, those that trend; and the form that adds one."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.keys import Permission
from domain.tracking.follows import Follow
from domain.tracking.repository import AnalysisStatus, RepositoryCursor, TrackedRepository
from worker.export.html.values import moment, plain_number
from worker.http.api.answers import read_text_cursor, write_cursor, write_text_cursor
from worker.http.api.paths import MAX_CURSOR
from worker.http.api.tracking.repositories import read_follow_cursor
from worker.http.caller import Caller
from worker.http.pages.layout.forms import REFUSALS, form_page, read_fields, shown_again
from worker.http.pages.layout.rendering import page, see_other
from worker.http.pages.layout.visitor import Managing, Reading
from worker.http.pages.repositories.fields import NEW_FIELDS, branches_of
from worker.http.pages.repositories.values import STATE_WORDS, repository_row, repository_rows

router = APIRouter(include_in_schema=False, prefix="/repositories")

SHOWN, TRENDING_SHOWN = 50, 20
CursorText = Annotated[str | None, Query(max_length=2_000)]


@router.get("")
async def show_repositories(
    request: Request, visitor: Reading, state: Annotated[str, Query(max_length=40)] = "", cursor: CursorText = None
) -> Response:
    """Show the visitor's tracked repositories in the order of their URLs."""
    chosen = AnalysisStatus(state) if state in list(AnalysisStatus) else None
    return await _page(request, visitor, chosen, cursor)


@router.post("")
async def add_repository(request: Request, visitor: Managing) -> Response:
    """Track the repository of a form, and show its page. A form that is refused is shown with what it had."""
    fields = await read_fields(request, NEW_FIELDS)
    try:
        added = await visitor.client.repositories.add(
            visitor.user_id,
            url=fields.get("url", "").strip(),
            schedule=fields.get("schedule", "").strip() or None,
            settings=branches_of(fields),
            token=fields.get("token", "").strip() or None,
        )
    except REFUSALS as error:
        return await _page(request, visitor, None, None, refused=error, entered=fields)
    return see_other(request, f"/repositories/{added.repository_id}")


async def _page(
    request: Request,
    visitor: Caller,
    chosen: AnalysisStatus | None,
    cursor: str | None,
    *,
    refused: Exception | None = None,
    entered: Mapping[str, str] | None = None,
) -> Response:
    after = None if cursor is None else RepositoryCursor(url=read_text_cursor(cursor))
    found = await visitor.client.repositories.list(visitor.user_id, status=chosen, limit=SHOWN + 1, after=after)
    shown = found[:SHOWN]
    return form_page(
        request,
        "repositories/list.html",
        refused,
        visitor=visitor,
        entered=dict.fromkeys(NEW_FIELDS, "") | shown_again(entered or {}),
        repositories=await repository_rows(visitor, shown),
        following=write_text_cursor(shown[-1].url) if len(found) > SHOWN else None,
        is_first=cursor is None,
        states=STATE_WORDS,
        chosen=chosen or "",
        may_manage=Permission.MANAGE in visitor.identity.permissions,
    )


@router.get("/followed")
async def show_followed(
    request: Request, visitor: Reading, cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None
) -> Response:
    """Show what the visitor follows, newest first. One that is no longer public has no name."""
    after = None if cursor is None else read_follow_cursor(cursor)
    found = await visitor.client.repositories.list_followed(visitor.user_id, limit=SHOWN + 1, after=after)
    shown = found[:SHOWN]
    seen = await visitor.client.repositories.get_many(visitor.user_id, [each.repository_id for each in shown])
    last = shown[-1] if len(found) > SHOWN else None
    return page(
        request,
        "repositories/followed.html",
        visitor=visitor,
        follows=[_follow(each, seen.get(each.repository_id)) for each in shown],
        following=None if last is None else write_cursor(last.followed_at, str(last.repository_id)),
        is_first=cursor is None,
        may_manage=Permission.MANAGE in visitor.identity.permissions,
    )


def _follow(follow: Follow, repository: TrackedRepository | None) -> dict[str, Any]:
    shared = {"repository_id": str(follow.repository_id), "since": moment(follow.followed_at)}
    if repository is None:
        return {**shared, "row": None}
    return {**shared, "row": repository_row(repository, None, follow, follow.user_id)}


@router.get("/trending")
async def show_trending(request: Request, visitor: Reading) -> Response:
    """Show those of the visitor's and of the public repositories that trend most."""
    found = await visitor.client.repositories.trending(visitor.user_id, limit=TRENDING_SHOWN)
    rows = [
        {
            **repository_row(each.repository, None, None, visitor.user_id),
            "followers": f"{each.statistics.followers:,}",
            "recent_runs": f"{each.statistics.recent_runs:,}",
            "quality": plain_number(each.statistics.latest_score, "-"),
            "improvement": plain_number(each.statistics.improvement, "-"),
        }
        for each in found
    ]
    return page(request, "repositories/trending.html", visitor=visitor, repositories=rows)
