"""API keys: made, listed, found by their prefix, and revoked. Each of these acts has its entry in the audit log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import LimitExceededError, NotFoundError
from domain.keys import MAX_KEYS, ApiKey, KeyRequest, Permission
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.engine import Database

USED_SECONDS = 60
"""`last_used` moves at most once in so many seconds."""

_USABLE = "is_active AND (expires_at IS NULL OR expires_at > statement_timestamp())"
UNUSED_KEY = f"coalesce(last_used < statement_timestamp() - interval '{USED_SECONDS} seconds', true)"
_COLUMNS = "id, user_id, name, prefix, permissions, rate_limit, last_used, expires_at, is_active, created_at"
_DETAILS = "jsonb_build_object('prefix', prefix, 'name', name)"


def _entries(source: str, action: Action) -> str:
    return insert_entries(source, action, Resource.KEY, user="user_id", resource="CAST(id AS text)", details=_DETAILS)


_LOCK_USER = text("SELECT 1 FROM users WHERE id = :user_id FOR NO KEY UPDATE")
_COUNT = text(f"SELECT count(*) FROM api_keys WHERE user_id = :user_id AND {_USABLE}")  # nosec B608 # noqa: S608 - no input in it
_DROP_OLDEST = text(f"""
    WITH surplus AS MATERIALIZED (
        SELECT id FROM (
            SELECT id, created_at, {_USABLE} AS usable, count(*) OVER () AS keys FROM api_keys WHERE user_id = :user_id
        ) AS mine
        WHERE keys >= {MAX_KEYS} AND NOT usable ORDER BY created_at, id LIMIT 1
    )
    DELETE FROM api_keys USING surplus WHERE api_keys.id = surplus.id
""")  # nosec B608 # noqa: S608 - no input in it
_INSERT = text(f"""
    WITH created AS (
        INSERT INTO api_keys (user_id, name, prefix, key_hash, permissions, rate_limit, expires_at)
        VALUES (:user_id, :name, :prefix, :key_hash, CAST(:permissions AS text[]), :rate_limit, :expires_at)
        RETURNING {_COLUMNS}
    ), logged AS ({_entries("created", Action.CREATE_KEY)})
    SELECT {_COLUMNS} FROM created
""")  # nosec B608 # noqa: S608 - no input in it
_LIST = text(f"""
    SELECT {_COLUMNS} FROM api_keys WHERE user_id = :user_id ORDER BY created_at DESC, id DESC LIMIT {MAX_KEYS}
""")  # nosec B608 # noqa: S608 - no input in it
_GET = text(f"SELECT {_COLUMNS} FROM api_keys WHERE id = :key_id")  # nosec B608 # noqa: S608 - no input in it
_FIND = text(f"""
    SELECT {_COLUMNS}, key_hash, coalesce(expires_at <= statement_timestamp(), false) AS expired,
        {UNUSED_KEY} AS unused
    FROM api_keys WHERE prefix = :prefix
""")  # nosec B608 # noqa: S608 - no input in it
# A key that is revoked already is not revoked again, and leaves no second entry.
_REVOKE = text(f"""
    WITH revoked AS (
        UPDATE api_keys SET is_active = false WHERE id = :key_id AND is_active RETURNING id, user_id, prefix, name
    )
    {_entries("revoked", Action.REVOKE_KEY)}
""")  # nosec B608 # noqa: S608 - no input in it
# The row stays locked until the entry of the use is committed: the deletion of the user waits for it, and then clears
# the entry's address.
_TOUCH = text(f"""
    WITH locked AS MATERIALIZED (
        SELECT id FROM api_keys WHERE id = :key_id AND is_active FOR NO KEY UPDATE
    ), moved AS (
        UPDATE api_keys SET last_used = statement_timestamp() FROM locked
        WHERE api_keys.id = locked.id AND {UNUSED_KEY}
    )
    SELECT id FROM locked
""")  # nosec B608 # noqa: S608 - no input in it
_RECORD_USE = text(_entries("api_keys WHERE id = :key_id", Action.USE_KEY))
_RECORD_FIRST_USE = text(
    _entries(
        f"""api_keys WHERE id = :key_id AND NOT EXISTS (
            SELECT 1 FROM audit_logs AS earlier
            WHERE earlier.resource_type = '{Resource.KEY}' AND earlier.resource_id = CAST(CAST(:key_id AS uuid) AS text)
                AND earlier.action = '{Action.USE_KEY}'
                AND earlier.created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                AND earlier.ip_address IS NOT DISTINCT FROM CAST(CAST(:actor_address AS text) AS inet))
        """,  # nosec B608 # noqa: S608 - no input in it
        Action.USE_KEY,
    )
)
_DELETE_OF_USER = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM api_keys WHERE user_id = :user_id ORDER BY id LIMIT :limit FOR UPDATE
    )
    DELETE FROM api_keys USING chosen WHERE api_keys.id = chosen.id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as it is stored. `unused` says that `last_used` is due to move."""

    key: ApiKey
    key_hash: bytes
    expired: bool
    unused: bool


class ApiKeyRepository:
    """The table `api_keys`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, user_id: UUID, request: KeyRequest, *, prefix: str, key_hash: bytes, actor: Actor) -> ApiKey:
        """Insert a key. The oldest key that is of no use makes place for it where the user has MAX_KEYS.

        Raises NotFoundError for an unknown user, and LimitExceededError where all of the user's keys are usable.
        """
        values = {"user_id": user_id}
        if await self._connection.scalar(_LOCK_USER, values) is None:
            raise NotFoundError("there is no such user")
        usable = int(await self._connection.scalar(_COUNT, values) or 0)
        if usable >= MAX_KEYS:
            raise LimitExceededError(f"you already have {usable} API keys (limit {MAX_KEYS}); revoke one")
        await self._connection.execute(_DROP_OLDEST, values)
        parameters = {
            **values,
            "name": request.name,
            "prefix": prefix,
            "key_hash": key_hash,
            "permissions": sorted(request.permissions),
            "rate_limit": request.rate_limit,
            "expires_at": request.expires_at,
            **actor_values(actor),
        }
        return _key((await self._connection.execute(_INSERT, parameters)).mappings().one())

    async def list_keys(self, user_id: UUID) -> list[ApiKey]:
        """Return the user's keys, newest first: at most MAX_KEYS, for no user has more."""
        rows = await self._connection.execute(_LIST, {"user_id": user_id})
        return [_key(row) for row in rows.mappings()]

    async def get(self, key_id: UUID) -> ApiKey:
        """Return the key. Raises NotFoundError."""
        row = (await self._connection.execute(_GET, {"key_id": key_id})).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no API key {key_id}")
        return _key(row)

    async def revoke(self, key_id: UUID, actor: Actor) -> None:
        """Make the key unusable."""
        await self._connection.execute(_REVOKE, {"key_id": key_id, **actor_values(actor)})

    async def touch(self, key_id: UUID) -> bool:
        """Lock the key, and set `last_used` if that is due. Returns False where it was revoked or deleted meanwhile."""
        return await self._connection.scalar(_TOUCH, {"key_id": key_id}) is not None

    async def record_use(self, key_id: UUID, actor: Actor, *, known_first: bool) -> None:
        """Insert the entry of a use, after `touch`.

        Without `known_first`, it is inserted only if the log has none of this day (UTC), key and address.
        """
        statement = _RECORD_USE if known_first else _RECORD_FIRST_USE
        await self._connection.execute(statement, {"key_id": key_id, **actor_values(actor)})

    async def delete_of_user(self, user_id: UUID, limit: int) -> int:
        """Delete up to `limit` keys of the user. Returns their number."""
        return (await self._connection.execute(_DELETE_OF_USER, {"user_id": user_id, "limit": limit})).rowcount


async def find_keys(database: Database, prefix: str) -> Sequence[StoredKey]:
    """Return the keys with this prefix: one, but that two random prefixes may be equal."""
    return [
        StoredKey(key=_key(row), key_hash=row["key_hash"], expired=row["expired"], unused=row["unused"])
        for row in await database.fetch(_FIND, {"prefix": prefix})
    ]


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        key_id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        prefix=row["prefix"],
        permissions=tuple(Permission(name) for name in sorted(row["permissions"])),
        rate_limit=row["rate_limit"],
        last_used=row["last_used"],
        expires_at=row["expires_at"],
        is_active=row["is_active"],
        created_at=row["created_at"],
    )
