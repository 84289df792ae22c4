"""Uses of API keys: each request counts for the key's rate limit, also one of a session that was begun with the key."""

from datetime import UTC, datetime
from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidKeyError, RateLimitedError
from domain.keys import RateLimit
from infrastructure.database.access.api_keys import ApiKeyRepository
from infrastructure.redis.key_usage import KeyUse
from worker.client.connections import Connections


class KeyUses:
    """Counts the requests of keys, and writes the first use of a day from an address into the audit log."""

    def __init__(self, connections: Connections, actor: Actor) -> None:
        self._database, self._usage, self._actor = connections.database, connections.key_usage, actor

    async def count(self, key_id: UUID, limit: int, *, unused: bool) -> RateLimit:
        """Count a request, and return what is left. `unused` says that the key's `last_used` is due to move.

        Raises RateLimitedError beyond `limit` requests an hour, and InvalidKeyError for a key that was just revoked.
        """
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        use = await self._usage.count(key_id, limit, self._actor.address, day)
        if use.exceeded:
            seconds = use.rate_limit.reset_seconds
            raise RateLimitedError(
                f"the API key has made its {limit} requests of this hour; try again in {seconds} seconds",
                limit=limit,
                reset_seconds=seconds,
            )
        if unused or use.first_today is not False:
            await self._record(key_id, use, day)
        return use.rate_limit

    async def _record(self, key_id: UUID, use: KeyUse, day: str) -> None:
        """Move `last_used`, and insert the entry of the day's first use. Raises InvalidKeyError for a key just gone."""
        async with self._database.unit_of_work() as work:
            keys = ApiKeyRepository(work)
            if not await keys.touch(key_id):
                raise InvalidKeyError("the API key has been revoked; make a new one")
            if use.first_today is not False:
                await keys.record_use(key_id, self._actor, known_first=use.first_today is True)
        if use.first_today:
            await self._usage.confirm(key_id, self._actor.address, day)
