"""API keys of the caller: make, list, revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.responses import Response

from domain.errors import PermissionDeniedError
from domain.keys import DEFAULT_RATE_LIMIT, MAX_NAME_LENGTH, MAX_RATE_LIMIT, Permission, parse_permissions
from worker.http.api.answers import json_response
from worker.http.api.paths import API_PREFIX, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Moment, Text
from worker.http.caller import Manager, Reader

router = APIRouter(prefix=f"{API_PREFIX}/keys", tags=["keys"])


class NewKey(Body):
    """A key to be made."""

    name: Annotated[Text, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    """What it is for."""
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=len(Permission))]
    """What it allows; each stands alone. Not more than the key that makes it."""
    rate_limit: Annotated[int, Field(ge=1, le=MAX_RATE_LIMIT)] = DEFAULT_RATE_LIMIT
    """Requests an hour."""
    expires_at: Moment | None = None
    """When it ends, with its time zone; null: when it is revoked."""


@router.get("")
async def list_keys(caller: Reader) -> Response:
    """List your keys, newest first, with those that are revoked or expired."""
    return json_response({"keys": [key.to_json() for key in await caller.client.keys.list(caller.user_id)]})


@router.post("", status_code=201)
async def create_key(caller: Manager, wanted: Annotated[NewKey, Depends(JsonBody(NewKey))]) -> Response:
    """Make a key. The answer has its text, which is kept nowhere and cannot be shown again."""
    permissions = parse_permissions(wanted.permissions)
    if missing := permissions - caller.identity.permissions:
        raise PermissionDeniedError(f"a key can make no key with a permission it lacks: {', '.join(sorted(missing))}")
    created = await caller.client.keys.create(
        caller.user_id,
        name=wanted.name,
        permissions=permissions,
        rate_limit=wanted.rate_limit,
        expires_at=wanted.expires_at,
    )
    return json_response({**created.key.to_json(), "key": created.text}, 201)


@router.delete("/{key_id}")
async def revoke_key(
    caller: Manager, key_id: Annotated[str, Path(max_length=200, description="The id of a key.")]
) -> Response:
    """Make a key unusable from now on. It stays in the list."""
    return json_response((await caller.client.keys.revoke(caller.user_id, parse_id(key_id))).to_json())
