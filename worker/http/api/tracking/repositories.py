"""Tracked repositories: add, read, change, check now, follow, remove."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.tracking.follows import FollowCursor, FollowSettings, FollowWhen
from domain.tracking.repository import AnalysisStatus, RepositoryCursor
from worker.client import (
    RepositoryChanges,
    follow_to_json,
    repository_settings_from_json,
    repository_to_json,
    trending_to_json,
)
from worker.http.api.answers import (
    json_response,
    located_response,
    read_cursor,
    read_text_cursor,
    write_cursor,
    write_text_cursor,
)
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.api.request_bodies import Body, Document, JsonBody, Text
from worker.http.caller import Manager, Reader

router = APIRouter(prefix=f"{API_PREFIX}/repositories", tags=["repositories"])

RepositoryId = Annotated[str, Path(max_length=200, description="The id of a tracked repository.")]
Tags = dict[Text, list[Text]]


class RepositoryFields(Body):
    """What can be set of a tracked repository. Null leaves what is there; an empty text clears it."""

    schedule: Text | None = None
    """When it is checked: five fields of cron, or `hourly`, `daily` or `weekly`, in UTC; empty: by its hook alone."""
    settings: Document | None = None
    """`gate`, `branches`, `exclude`, `notify_url`, `public`: they replace the stored ones as a whole."""
    tags: Tags | None = None
    """Values by category; they replace the stored ones as a whole."""
    token: Text | None = None
    """A token for a private repository, which is stored encrypted and never shown."""
    description: Text | None = None
    language: Text | None = None


class NewRepository(RepositoryFields):
    """A repository to track."""

    url: Text
    """Its https URL, on one of the allowed hosts."""


class FollowRequest(Body):
    """What a follower is told, and where."""

    when: FollowWhen = FollowWhen.NEVER
    notify_url: Text | None = Field(default=None)
    """Where a signed webhook is sent; needed unless `when` is `never`."""


@router.get("")
async def list_repositories(
    caller: Reader,
    status: Annotated[AnalysisStatus | None, Query(description="Only repositories in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List your tracked repositories in the order of their URLs."""
    after = None if cursor is None else RepositoryCursor(url=read_text_cursor(cursor))
    found = await caller.client.repositories.list(caller.user_id, status=status, limit=limit + 1, after=after)
    page = found[:limit]
    following = write_text_cursor(page[-1].url) if len(found) > limit else None
    return json_response({"repositories": [repository_to_json(each) for each in page], "next": following})


@router.post("", status_code=201)
async def add_repository(
    request: Request, caller: Manager, wanted: Annotated[NewRepository, Depends(JsonBody(NewRepository))]
) -> Response:
    """Track a repository. It is checked at once, then by its schedule and by its host's push hook."""
    added = await caller.client.repositories.add(
        caller.user_id,
        url=wanted.url,
        schedule=wanted.schedule or None,
        settings=repository_settings_from_json(wanted.settings or {}),
        tags=wanted.tags,
        token=wanted.token or None,
        description=wanted.description,
        language=wanted.language,
    )
    return located_response(request, repository_to_json(added), 201, f"/repositories/{added.repository_id}")


@router.get("/trending")
async def list_trending(caller: Reader, limit: Limit = 20) -> Response:
    """List those of your and of the public repositories that trend most, with their statistics."""
    found = await caller.client.repositories.trending(caller.user_id, limit=limit)
    return json_response({"repositories": [trending_to_json(each) for each in found]})


@router.get("/followed")
async def list_followed(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List what you follow, newest first."""
    after = None if cursor is None else read_follow_cursor(cursor)
    found = await caller.client.repositories.list_followed(caller.user_id, limit=limit + 1, after=after)
    page = found[:limit]
    following = write_cursor(page[-1].followed_at, str(page[-1].repository_id)) if len(found) > limit else None
    return json_response({"follows": [follow_to_json(each) for each in page], "next": following})


def read_follow_cursor(text: str) -> FollowCursor:
    """Return the place in a list of follows. Raises InvalidInputError, NotFoundError for what is no cursor."""
    followed_at, repository_id = read_cursor(text)
    return FollowCursor(followed_at=followed_at, repository_id=parse_id(repository_id))


@router.get("/{repository_id}")
async def get_repository(caller: Reader, repository_id: RepositoryId) -> Response:
    """Return a repository of yours, or a public one, with its statistics."""
    key, repositories = parse_id(repository_id), caller.client.repositories
    found = await repositories.get(caller.user_id, key)
    return json_response(repository_to_json(found, await repositories.statistics(caller.user_id, key)))


@router.patch("/{repository_id}")
async def change_repository(
    caller: Manager,
    repository_id: RepositoryId,
    wanted: Annotated[RepositoryFields, Depends(JsonBody(RepositoryFields))],
) -> Response:
    """Change a repository of yours."""
    changes = RepositoryChanges(
        schedule=wanted.schedule,
        settings=None if wanted.settings is None else repository_settings_from_json(wanted.settings),
        tags=wanted.tags,
        token=wanted.token,
        description=wanted.description,
        language=wanted.language,
    )
    changed = await caller.client.repositories.update(caller.user_id, parse_id(repository_id), changes)
    return json_response(repository_to_json(changed))


@router.delete("/{repository_id}", status_code=204)
async def remove_repository(caller: Manager, repository_id: RepositoryId) -> Response:
    """Track a repository no longer. Its runs and jobs stay."""
    await caller.client.repositories.remove(caller.user_id, parse_id(repository_id))
    return Response(status_code=204)


@router.post("/{repository_id}/check", status_code=202)
async def check_repository(caller: Manager, repository_id: RepositoryId) -> Response:
    """Have a repository checked within seconds; a branch that has moved is analysed."""
    return json_response(
        repository_to_json(await caller.client.repositories.check(caller.user_id, parse_id(repository_id))), 202
    )


@router.post("/{repository_id}/hook-secret", status_code=201)
async def rotate_hook_secret(caller: Manager, repository_id: RepositoryId) -> Response:
    """Make a new secret for the repository's push hook. It is shown this once; the one before is no longer valid."""
    key = parse_id(repository_id)
    secret = await caller.client.repositories.rotate_hook_secret(caller.user_id, key)
    return json_response({"secret": secret, "path": f"{API_PREFIX}/hooks/{key}"}, 201)


@router.put("/{repository_id}/follow")
async def follow_repository(
    caller: Manager,
    repository_id: RepositoryId,
    wanted: Annotated[FollowRequest, Depends(JsonBody(FollowRequest))],
) -> Response:
    """Follow a repository of yours or a public one, or change when and where you are told."""
    settings = FollowSettings(when=wanted.when, notify_url=wanted.notify_url)
    follow = await caller.client.repositories.follow(caller.user_id, parse_id(repository_id), settings)
    return json_response(follow_to_json(follow))


@router.delete("/{repository_id}/follow", status_code=204)
async def unfollow_repository(caller: Manager, repository_id: RepositoryId) -> Response:
    """Follow a repository no longer."""
    await caller.client.repositories.unfollow(caller.user_id, parse_id(repository_id))
    return Response(status_code=204)
