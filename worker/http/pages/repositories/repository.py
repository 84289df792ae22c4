"""The page of a tracked repository: its state and settings; check, follow, change, remove, and its push hook."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import ForbiddenError
from domain.gate.policy import DEFAULT_POLICY
from domain.keys import Permission
from domain.tracking.repository import TrackedRepository
from worker.export.html.values import line
from worker.http.api.paths import API_PREFIX, parse_id
from worker.http.caller import Caller
from worker.http.pages.layout.forms import REFUSALS, form_page, read_fields, shown_again
from worker.http.pages.layout.rendering import see_other
from worker.http.pages.layout.visitor import Managing, Reading
from worker.http.pages.repositories.fields import (
    CHANGE_FIELDS,
    FOLLOW_FIELDS,
    GATE_FIELDS,
    changes_of,
    entered_of,
    follow_of,
    gate_change_of,
    policy_text,
)
from worker.http.pages.repositories.values import FOLLOW_CHOICES, repository_facts, repository_row

router = APIRouter(include_in_schema=False, prefix="/repositories/{repository_id}")

RepositoryId = Annotated[str, Path(max_length=200)]
_EMPTY = dict.fromkeys(CHANGE_FIELDS | FOLLOW_FIELDS | GATE_FIELDS, "")
LISTS = {"list": "/repositories", "followed": "/repositories/followed"}
"""Pages to which a form may send its visitor back, by what it names them."""


@router.get("")
async def show_repository(request: Request, visitor: Reading, repository_id: RepositoryId) -> Response:
    """Show a repository of the visitor's with its settings, or a public one without them."""
    return await _page(request, visitor, parse_id(repository_id))


@router.post("")
async def change_repository(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Change a repository as the form says. A form that is refused is shown with what it had."""
    key, fields = parse_id(repository_id), await read_fields(request, CHANGE_FIELDS)
    stored = await _own(visitor, key)
    try:
        await visitor.client.repositories.update(visitor.user_id, key, changes_of(fields, stored.settings))
    except REFUSALS as error:
        return await _page(request, visitor, key, refused=error, entered=fields)
    return see_other(request, f"/repositories/{key}")


@router.post("/gate")
async def change_gate(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Change the gate policy of a repository. One that is refused is shown with why, as it was entered."""
    key, fields = parse_id(repository_id), await read_fields(request, GATE_FIELDS)
    stored = await _own(visitor, key)
    try:
        await visitor.client.repositories.update(visitor.user_id, key, gate_change_of(fields, stored.settings))
    except REFUSALS as error:
        entered = {**entered_of(stored), **fields}
        return await _page(request, visitor, key, refused=error, entered=entered, at_gate=True)
    return see_other(request, f"/repositories/{key}")


@router.post("/check")
async def check_repository(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Have a repository checked within seconds."""
    key, fields = parse_id(repository_id), await read_fields(request, {"to"})
    await visitor.client.repositories.check(visitor.user_id, key)
    return _back(request, key, fields)


@router.post("/remove")
async def remove_repository(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Track a repository no longer. Its runs and jobs stay."""
    await read_fields(request, ())
    await visitor.client.repositories.remove(visitor.user_id, parse_id(repository_id))
    return see_other(request, "/repositories")


@router.post("/follow")
async def follow_repository(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Follow a repository, or change when and where the visitor is told."""
    key, fields = parse_id(repository_id), await read_fields(request, FOLLOW_FIELDS)
    found = await visitor.client.repositories.get(visitor.user_id, key)
    try:
        await visitor.client.repositories.follow(visitor.user_id, key, follow_of(fields))
    except REFUSALS as error:
        return await _page(request, visitor, key, refused=error, entered={**entered_of(found), **fields})
    return see_other(request, f"/repositories/{key}")


@router.post("/unfollow")
async def unfollow_repository(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Follow a repository no longer."""
    key, fields = parse_id(repository_id), await read_fields(request, {"to"})
    await visitor.client.repositories.unfollow(visitor.user_id, key)
    return _back(request, key, fields)


@router.post("/hook-secret")
async def rotate_hook_secret(request: Request, visitor: Managing, repository_id: RepositoryId) -> Response:
    """Make a new secret for the push hook, and show it this once."""
    key = parse_id(repository_id)
    await read_fields(request, ())
    secret = await visitor.client.repositories.rotate_hook_secret(visitor.user_id, key)
    return await _page(request, visitor, key, secret=secret)


def _back(request: Request, key: UUID, fields: Mapping[str, str]) -> Response:
    return see_other(request, LISTS.get(fields.get("to", ""), f"/repositories/{key}"))


async def _own(visitor: Caller, key: UUID) -> TrackedRepository:
    found = await visitor.client.repositories.get(visitor.user_id, key)
    if found.owner_id != visitor.user_id:
        raise ForbiddenError(f"the tracked repository {key} belongs to another user")
    return found


async def _page(
    request: Request,
    visitor: Caller,
    key: UUID,
    *,
    refused: Exception | None = None,
    entered: Mapping[str, str] | None = None,
    secret: str | None = None,
    at_gate: bool = False,
) -> Response:
    """Return the page; `refused` is why a form with the fields `entered` was, shown `at_gate` if it is the gate's."""
    repositories = visitor.client.repositories
    found = await repositories.get(visitor.user_id, key)
    statistics = await repositories.statistics(visitor.user_id, key)
    newest = await visitor.client.projects.of_urls(visitor.user_id, [found.url])
    follow = (await repositories.follows(visitor.user_id, [key])).get(key)
    told = {} if follow is None else {"when": follow.settings.when, "follower_url": follow.settings.notify_url or ""}
    gate = {"gate": entered_of(found).get("gate", "")}
    return form_page(
        request,
        "repositories/repository.html",
        refused,
        visitor=visitor,
        entered={**_EMPTY, **told, **gate, **(entered_of(found) if entered is None else shown_again(entered))},
        at_gate=at_gate,
        default_policy=policy_text(DEFAULT_POLICY.to_json()),
        repository=repository_row(found, newest.get(found.url), follow, visitor.user_id),
        url=line(found.url, 300),
        link=found.url if found.url.startswith("https://") else None,
        heads=[(line(branch, 120), line(commit, 12)) for branch, commit in found.heads.items()],
        facts=repository_facts(found, statistics),
        follow_choices=FOLLOW_CHOICES,
        has_token=found.has_token,
        has_hook_secret=found.has_hook_secret,
        hook_path=f"{API_PREFIX}/hooks/{key}",
        secret=secret,
        may_manage=Permission.MANAGE in visitor.identity.permissions,
    )
