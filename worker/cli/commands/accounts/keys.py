"""`vibe8 keys`: API keys of one user."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.errors import InvalidInputError, NotFoundError
from domain.keys import ApiKey, Permission
from domain.text import one_line
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.accounts.keys import show_created, show_keys
from worker.cli.output.writer import OutputWriter
from worker.client import Client
from worker.client.operator import OperatorClient


@asynccontextmanager
async def _operator_and_user(email: str) -> AsyncIterator[tuple[Client, UUID]]:
    """Open an operator's client: who runs the command has the database's address. Yield it with the user's id."""
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        yield operator.user_client, await operator.user_client.get_or_create_user(email)


async def create(
    email: str,
    name: str,
    permissions: Sequence[Permission],
    *,
    rate_limit: int,
    lifetime: timedelta | None,
    output: OutputWriter,
) -> int:
    """Make a key for the user, and print it."""
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    async with _operator_and_user(email) as (client, user_id):
        created = await client.keys.create(
            user_id, name=name, permissions=permissions, rate_limit=rate_limit, expires_at=expires_at
        )
    if output.as_json:
        output.print_json({**created.key.to_json(), "key": created.text})
    else:
        show_created(output, created)
    return DONE


async def list_keys(email: str, output: OutputWriter) -> int:
    """List the user's keys, newest first."""
    async with _operator_and_user(email) as (client, user_id):
        keys = await client.keys.list(user_id)
    if output.as_json:
        output.print_json([key.to_json() for key in keys])
    else:
        show_keys(output.console, keys, datetime.now(UTC))
    return DONE


async def revoke(email: str, named: str, output: OutputWriter) -> int:
    """Revoke the key whose id or text begins so."""
    async with _operator_and_user(email) as (client, user_id):
        found = _find(await client.keys.list(user_id), named)
        key = await client.keys.revoke(user_id, found.key_id)
    if output.as_json:
        output.print_json(key.to_json())
    else:
        output.print_line(f"revoked {key.key_id} v8_{key.prefix} {one_line(key.name)}")
    return DONE


def _find(keys: Sequence[ApiKey], named: str) -> ApiKey:
    """Return the only key whose id begins so, or whose text may begin so. Raises NotFoundError, InvalidInputError."""
    wanted = named.strip()
    found = [key for key in keys if str(key.key_id).startswith(wanted.lower()) or _begins(key, wanted)]
    shown = one_line(named, 20)  # it may be a whole key
    if not wanted or not found:
        raise NotFoundError(f"the user has no API key {shown}; `vibe8 keys list` lists them")
    if len(found) > 1:
        raise InvalidInputError(f"several keys begin with {shown}; give more characters")
    return found[0]


def _begins(key: ApiKey, wanted: str) -> bool:
    start = f"v8_{key.prefix}_"
    return wanted.startswith(start) or start.startswith(wanted)
