"""Sessions of people in a browser: sign in by a link or by an API key, identify a request, sign out."""

import secrets
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidKeyError, PermissionDeniedError
from domain.keys import USER_PERMISSIONS, Permission, parse_permissions
from domain.sessions import LINK_USED, SECRET_BYTES, SESSION_ENDED, CreatedSession, Session, hash_secret
from infrastructure.database.access.sessions import SessionRepository, find_session
from worker.client.accounts.key_uses import KeyUses
from worker.client.accounts.keys import KeysClient
from worker.client.connections import Connections


class SessionsClient:
    """Sessions of users in a browser."""

    def __init__(self, connections: Connections, keys: KeysClient, actor: Actor) -> None:
        self._database, self._keys, self._actor = connections.database, keys, actor
        self._uses = KeyUses(connections, actor)

    async def create_link(self, user_id: UUID, permissions: Collection[str] = USER_PERMISSIONS) -> str:
        """Return a text that signs the user in once, within LINK_MINUTES. Only its SHA-256 is stored.

        Raises InvalidInputError, NotFoundError (no such user), and PermissionDeniedError for the permission `operate`
        that no operator asks for: `OperatorClient.user_client` makes such links.
        """
        wanted = parse_permissions(permissions)
        if Permission.OPERATE in wanted and not self._actor.operator:
            raise PermissionDeniedError("only an operator can make a link with the permission operate: `vibe8 sign-in`")
        text = secrets.token_urlsafe(SECRET_BYTES)
        async with self._database.unit_of_work() as work:
            await SessionRepository(work).create_link(user_id, hash_secret(text, LINK_USED), wanted)
        return text

    async def check_link(self, text: str) -> None:
        """Return if the link would sign in now, without using it up. Raises InvalidKeyError if it would not."""
        token_hash = hash_secret(text, LINK_USED)
        async with self._database.autocommit() as connection:
            if not await SessionRepository(connection).is_link_usable(token_hash):
                raise InvalidKeyError(LINK_USED)

    async def begin_by_link(self, text: str) -> CreatedSession:
        """Use the link up, and return a new session of the link's user. Raises InvalidKeyError.

        Of several calls with one link, at the same time or not, one gets a session.
        """
        token_hash, secret = hash_secret(text, LINK_USED), secrets.token_urlsafe(SECRET_BYTES)
        async with self._database.unit_of_work() as work:
            sessions = SessionRepository(work)
            user_id, permissions = await sessions.use_link(token_hash)
            session = await sessions.create(
                user_id, hash_secret(secret, SESSION_ENDED), permissions, key_id=None, actor=self._actor
            )
        return CreatedSession(session=session, text=secret)

    async def begin_by_key(self, key_text: str) -> CreatedSession:
        """Return a new session of the API key's user with its permissions. It ends when the key is revoked or expires.

        Raises InvalidKeyError and RateLimitedError, as `keys.authenticate` does.
        """
        key = await self._keys.authenticate(key_text)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        async with self._database.unit_of_work() as work:
            session = await SessionRepository(work).create(
                key.user_id,
                hash_secret(secret, SESSION_ENDED),
                key.permissions,
                key_id=key.key_id,
                actor=self._actor,
            )
        return CreatedSession(session=session, text=secret)

    async def identify(self, text: str) -> Session:
        """Return the session of this text, and what is left of the rate limit of the key that it was begun with.

        Each call counts as a request of that key, as `keys.authenticate` does: call it on the client of the request.
        Raises InvalidKeyError for a session that is unknown or has ended, and RateLimitedError.
        """
        token_hash = hash_secret(text, SESSION_ENDED)
        found = await find_session(self._database, token_hash)
        if found is None:
            raise InvalidKeyError(SESSION_ENDED)
        left = None
        if (key := found.key) is not None:
            left = await self._uses.count(key.key_id, key.rate_limit, unused=key.unused)
        if found.unseen:
            async with self._database.autocommit() as connection:
                await SessionRepository(connection).touch(found.session.session_id)
        return replace(found.session, rate_limit=left)

    async def end(self, text: str) -> None:
        """End the session of this text; nothing happens where there is none."""
        try:
            token_hash = hash_secret(text, SESSION_ENDED)
        except InvalidKeyError:
            return
        async with self._database.unit_of_work() as work:
            await SessionRepository(work).end(token_hash, self._actor)

    async def end_all(self, user_id: UUID) -> int:
        """End all sessions of the user, on every device. Returns their number."""
        async with self._database.unit_of_work() as work:
            return await SessionRepository(work).end_all(user_id, self._actor)
