"""Sessions of people in a browser, and the links that sign them in. Signing in and out is in the audit log."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import InvalidKeyError, NotFoundError
from domain.keys import Permission
from domain.sessions import IDLE_HOURS, LINK_MINUTES, LINK_USED, MAX_SESSIONS, SESSION_DAYS, Session
from infrastructure.database.access.api_keys import UNUSED_KEY
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.engine import Database

SEEN_SECONDS = 60
"""`last_seen_at` moves at most once in so many seconds."""

_ALIVE = f"""sessions.expires_at > statement_timestamp()
    AND sessions.last_seen_at > statement_timestamp() - interval '{IDLE_HOURS} hours'"""
_COLUMNS = "sessions.id, sessions.user_id, sessions.permissions, sessions.expires_at"


def _entries(source: str, action: Action) -> str:
    return insert_entries(source, action, Resource.SESSION, user="user_id", resource="CAST(id AS text)")


_LOCK_KEY = text("SELECT 1 FROM api_keys WHERE id = :key_id FOR KEY SHARE")
_LOCK_USER = text("SELECT 1 FROM users WHERE id = :user_id FOR NO KEY UPDATE")
_INSERT_LINK = text(f"""
    INSERT INTO sign_in_tokens (token_hash, user_id, permissions, expires_at)
    VALUES (:token_hash, :user_id, CAST(:permissions AS text[]),
        statement_timestamp() + interval '{LINK_MINUTES} minutes')
""")  # nosec B608 # noqa: S608 - no input in it
_LINK_IS_USABLE = text("""
    SELECT 1 FROM sign_in_tokens WHERE token_hash = :token_hash AND expires_at > statement_timestamp()
""")
_LINK_OWNER = text("SELECT user_id FROM sign_in_tokens WHERE token_hash = :token_hash")
_USE_LINK = text("""
    DELETE FROM sign_in_tokens WHERE token_hash = :token_hash AND expires_at > statement_timestamp()
    RETURNING user_id, permissions
""")
_DROP_OLDEST = text(f"""
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE user_id = :user_id ORDER BY created_at DESC, id DESC OFFSET {MAX_SESSIONS - 1}
    )
""")  # nosec B608 # noqa: S608 - no input in it
_INSERT = text(f"""
    WITH created AS (
        INSERT INTO sessions (user_id, key_id, token_hash, permissions, expires_at)
        VALUES (:user_id, :key_id, :token_hash, CAST(:permissions AS text[]),
            statement_timestamp() + interval '{SESSION_DAYS} days')
        RETURNING id, user_id, permissions, expires_at
    ), logged AS ({_entries("created", Action.SIGN_IN)})
    SELECT id, user_id, permissions, expires_at FROM created
""")  # nosec B608 # noqa: S608 - no input in it
# A session that was begun with a key ends with it.
_FIND = text(f"""
    SELECT {_COLUMNS}, sessions.last_seen_at < statement_timestamp() - interval '{SEEN_SECONDS} seconds' AS unseen,
        api_keys.id AS key_id, api_keys.rate_limit, {UNUSED_KEY} AS key_unused
    FROM sessions LEFT JOIN api_keys ON api_keys.id = sessions.key_id
    WHERE sessions.token_hash = :token_hash AND {_ALIVE} AND (sessions.key_id IS NULL OR
        api_keys.is_active AND coalesce(api_keys.expires_at > statement_timestamp(), true))
""")  # nosec B608 # noqa: S608 - no input in it
_TOUCH = text("UPDATE sessions SET last_seen_at = statement_timestamp() WHERE id = :session_id")
_END = text(f"""
    WITH ended AS (DELETE FROM sessions WHERE token_hash = :token_hash RETURNING id, user_id)
    {_entries("ended", Action.SIGN_OUT)}
""")  # nosec B608 # noqa: S608 - no input in it
_END_ALL = text(f"""
    WITH chosen AS MATERIALIZED (SELECT id FROM sessions WHERE user_id = :user_id ORDER BY id FOR UPDATE),
    ended AS (DELETE FROM sessions USING chosen WHERE sessions.id = chosen.id RETURNING sessions.id, sessions.user_id),
    logged AS ({_entries("ended", Action.SIGN_OUT)})
    SELECT count(*) FROM ended
""")  # nosec B608 # noqa: S608 - no input in it
_DELETE_OF_USER = text("""
    WITH links AS (DELETE FROM sign_in_tokens WHERE user_id = :user_id),
    chosen AS MATERIALIZED (SELECT id FROM sessions WHERE user_id = :user_id ORDER BY id LIMIT :limit FOR UPDATE)
    DELETE FROM sessions USING chosen WHERE sessions.id = chosen.id
""")
# A session that has been idle for too long began before that: the index on `expires_at` finds it.
_DELETE_EXPIRED = text(f"""
    WITH links AS (DELETE FROM sign_in_tokens WHERE token_hash IN (
        SELECT token_hash FROM sign_in_tokens WHERE expires_at < statement_timestamp()
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    ), chosen AS MATERIALIZED (
        SELECT id FROM sessions WHERE expires_at < statement_timestamp() + interval '{SESSION_DAYS} days'
                - interval '{IDLE_HOURS} hours' AND NOT ({_ALIVE})
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM sessions USING chosen WHERE sessions.id = chosen.id
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKey:
    """The API key that a session was begun with. `unused` says that its `last_used` is due to move."""

    key_id: UUID
    rate_limit: int
    unused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSession:
    """A session that is valid. `unseen` says that `last_seen_at` is due to move."""

    session: Session
    unseen: bool
    key: SessionKey | None


class SessionRepository:
    """The tables `sessions` and `sign_in_tokens`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create_link(self, user_id: UUID, token_hash: bytes, permissions: Collection[Permission]) -> None:
        """Insert a link that signs the user in, once. Raises NotFoundError for an unknown user."""
        if await self._connection.scalar(_LOCK_USER, {"user_id": user_id}) is None:
            raise NotFoundError("there is no such user")
        values = {"token_hash": token_hash, "user_id": user_id, "permissions": sorted(permissions)}
        await self._connection.execute(_INSERT_LINK, values)

    async def is_link_usable(self, token_hash: bytes) -> bool:
        """Return whether the link would sign in now."""
        return await self._connection.scalar(_LINK_IS_USABLE, {"token_hash": token_hash}) is not None

    async def use_link(self, token_hash: bytes) -> tuple[UUID, frozenset[Permission]]:
        """Delete the link, and return whom it signs in with which permissions. Raises InvalidKeyError.

        Locks the user before the link, as the deletion of a user does.
        """
        owner = await self._connection.scalar(_LINK_OWNER, {"token_hash": token_hash})
        if owner is not None:
            await self._connection.execute(_LOCK_USER, {"user_id": owner})
        row = (await self._connection.execute(_USE_LINK, {"token_hash": token_hash})).one_or_none()
        if row is None:
            raise InvalidKeyError(LINK_USED)
        return row.user_id, frozenset(Permission(name) for name in row.permissions)

    async def create(
        self,
        user_id: UUID,
        token_hash: bytes,
        permissions: Collection[Permission],
        *,
        key_id: UUID | None,
        actor: Actor,
    ) -> Session:
        """Insert a session; the user's oldest beyond MAX_SESSIONS end.

        Raises NotFoundError for an unknown user, and InvalidKeyError for a key that was deleted meanwhile. The key is
        locked before the sessions, as by the deletion of a key, which deletes its sessions.
        """
        if await self._connection.scalar(_LOCK_USER, {"user_id": user_id}) is None:
            raise NotFoundError("there is no such user")
        if key_id is not None and await self._connection.scalar(_LOCK_KEY, {"key_id": key_id}) is None:
            raise InvalidKeyError("the API key has been deleted; make a new one")
        await self._connection.execute(_DROP_OLDEST, {"user_id": user_id})
        values = {
            "user_id": user_id,
            "key_id": key_id,
            "token_hash": token_hash,
            "permissions": sorted(permissions),
            **actor_values(actor),
        }
        return _session((await self._connection.execute(_INSERT, values)).mappings().one())

    async def touch(self, session_id: UUID) -> None:
        """Set `last_seen_at`."""
        await self._connection.execute(_TOUCH, {"session_id": session_id})

    async def end(self, token_hash: bytes, actor: Actor) -> None:
        """Delete the session; nothing happens where there is none."""
        await self._connection.execute(_END, {"token_hash": token_hash, **actor_values(actor)})

    async def end_all(self, user_id: UUID, actor: Actor) -> int:
        """Delete all sessions of the user. Returns their number."""
        return int(await self._connection.scalar(_END_ALL, {"user_id": user_id, **actor_values(actor)}) or 0)

    async def delete_of_user(self, user_id: UUID, limit: int) -> int:
        """Delete the user's links, and up to `limit` sessions. Returns the number of sessions."""
        return (await self._connection.execute(_DELETE_OF_USER, {"user_id": user_id, "limit": limit})).rowcount

    async def delete_expired(self, limit: int) -> int:
        """Delete up to `limit` sessions and links that are of no use any more. Returns the number of sessions."""
        return (await self._connection.execute(_DELETE_EXPIRED, {"limit": limit})).rowcount


async def find_session(database: Database, token_hash: bytes) -> FoundSession | None:
    """Return the session if it is valid: neither ended nor idle for too long, and its key, if any, usable."""
    rows = await database.fetch(_FIND, {"token_hash": token_hash})
    if not rows:
        return None
    row = rows[0]
    key = None
    if row["key_id"] is not None:
        key = SessionKey(key_id=row["key_id"], rate_limit=row["rate_limit"], unused=row["key_unused"])
    return FoundSession(session=_session(row), unseen=row["unseen"], key=key)


def _session(row: Mapping[Any, Any]) -> Session:
    return Session(
        session_id=row["id"],
        user_id=row["user_id"],
        permissions=frozenset(Permission(name) for name in row["permissions"]),
        expires_at=row["expires_at"],
    )
