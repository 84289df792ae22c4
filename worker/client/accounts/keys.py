"""API keys, with which a program acts for a user: make, list, revoke, and authenticate a request."""

import hmac
import secrets
import string
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidKeyError
from domain.keys import (
    DEFAULT_RATE_LIMIT,
    NOT_VALID,
    PREFIX_LENGTH,
    SECRET_BYTES,
    ApiKey,
    AuthenticatedKey,
    CreatedKey,
    KeyRequest,
    Permission,
    hash_key,
    make_key,
    parse_prefix,
    require_usable,
)
from infrastructure.database.access.api_keys import ApiKeyRepository, StoredKey, find_keys
from worker.client.accounts.key_uses import KeyUses
from worker.client.accounts.ownership import owned_key
from worker.client.connections import Connections

_PREFIX_ALPHABET = string.ascii_lowercase + string.digits


class KeysClient:
    """API keys of users."""

    def __init__(self, connections: Connections, actor: Actor) -> None:
        self._database, self._actor = connections.database, actor
        self._uses = KeyUses(connections, actor)

    async def create(
        self,
        user_id: UUID,
        *,
        name: str,
        permissions: Collection[str] = (Permission.READ, Permission.SUBMIT),
        rate_limit: int = DEFAULT_RATE_LIMIT,
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        """Make a key and return it with its text, which is shown this once: only its SHA-256 is stored.

        `rate_limit` is in requests an hour. Without `expires_at` the key is valid until it is revoked. An API that lets
        a key make keys must refuse permissions that the first one does not have. A user has at most MAX_KEYS; the
        oldest revoked or expired one makes place for a new one.

        Raises InvalidInputError, NotFoundError (no such user), LimitExceededError (all MAX_KEYS are usable), and
        PermissionDeniedError for the permission `operate`, or a rate limit above DEFAULT_RATE_LIMIT, that no operator
        asks for: `OperatorClient.user_client` makes such keys, and so does `vibe8 keys create`.
        """
        request = KeyRequest.checked(
            name=name,
            permissions=permissions,
            rate_limit=rate_limit,
            expires_at=expires_at,
            now=datetime.now(UTC),
            by_operator=self._actor.operator,
        )
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
        text = make_key(prefix, secrets.token_urlsafe(SECRET_BYTES))
        async with self._database.unit_of_work() as work:
            keys = ApiKeyRepository(work)
            key = await keys.create(user_id, request, prefix=prefix, key_hash=hash_key(text), actor=self._actor)
        return CreatedKey(key=key, text=text)

    async def list(self, user_id: UUID) -> list[ApiKey]:
        """Return all keys of the user, newest first, with those that are revoked or expired: at most MAX_KEYS."""
        async with self._database.unit_of_work() as work:
            return await ApiKeyRepository(work).list_keys(user_id)

    async def revoke(self, user_id: UUID, key_id: UUID) -> ApiKey:
        """Make the key unusable from now on, and return it. It stays in the list.

        Nothing changes for a key that is revoked already. Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            keys = ApiKeyRepository(work)
            owned_key(await keys.get(key_id), user_id)
            await keys.revoke(key_id, self._actor)
            return await keys.get(key_id)

    async def authenticate(self, text: str) -> AuthenticatedKey:
        """Return whose key this is, what it allows, and what is left of its rate limit, for the headers of an answer.

        Call it on the client of the request (`for_request`): the first use of a day (UTC) from an address is in the
        audit log. Each call counts as a request, also one that is refused, and so does each of a session that was begun
        with the key. Without Redis no rate limit holds.

        Raises InvalidKeyError for a key that is malformed, unknown, revoked or expired, and RateLimitedError.
        """
        prefix = parse_prefix(text)
        stored = _matching(await find_keys(self._database, prefix), hash_key(text))
        key = stored.key
        left = await self._uses.count(key.key_id, key.rate_limit, unused=stored.unused)
        return AuthenticatedKey(
            key_id=key.key_id, user_id=key.user_id, permissions=frozenset(key.permissions), rate_limit=left
        )


def _matching(candidates: Sequence[StoredKey], key_hash: bytes) -> StoredKey:
    """Return the key with this hash, compared in constant time. Raises InvalidKeyError if it cannot be used."""
    for stored in candidates:
        if hmac.compare_digest(stored.key_hash, key_hash):
            require_usable(is_active=stored.key.is_active, expired=stored.expired)
            return stored
    raise InvalidKeyError(NOT_VALID)
