"""Push hooks: the secret of a repository, deliveries that were seen, and what a host says of its repository."""

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.tracking.repository import HostMetadata

_SECRET = text("SELECT hook_secret FROM repositories WHERE id = :id")
_SEE = text("""
    INSERT INTO repository_hook_deliveries (repository_id, delivery) VALUES (:id, :delivery) ON CONFLICT DO NOTHING
""")
_PUSH = text("""
    UPDATE repositories
    SET check_requested_at = statement_timestamp(), description = coalesce(:description, description),
        language = coalesce(:language, language), stars = coalesce(:stars, stars), forks = coalesce(:forks, forks),
        watchers = coalesce(:watchers, watchers), size = coalesce(:size, size), updated_at = statement_timestamp()
    WHERE id = :id
""")
_DELETE_OLD = text("""
    WITH old AS MATERIALIZED (
        SELECT repository_id, delivery FROM repository_hook_deliveries
        WHERE received_at < statement_timestamp() - interval '7 days'
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM repository_hook_deliveries AS delivery USING old
    WHERE delivery.repository_id = old.repository_id AND delivery.delivery = old.delivery
""")


class HookDeliveryRepository:
    """The table `repository_hook_deliveries`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def secret(self, repository_id: UUID) -> str | None:
        """Return the encrypted secret of the repository's hook; None for one without, and for an unknown one."""
        found: str | None = await self._connection.scalar(_SECRET, {"id": repository_id})
        return found

    async def see(self, repository_id: UUID, delivery: str) -> bool:
        """Remember the delivery. Returns whether it is new."""
        values = {"id": repository_id, "delivery": delivery}
        return (await self._connection.execute(_SEE, values)).rowcount > 0

    async def push(self, repository_id: UUID, metadata: HostMetadata) -> None:
        """Let a worker check the repository now, and store what its host says of it."""
        await self._connection.execute(_PUSH, {"id": repository_id, **asdict(metadata)})

    async def delete_old(self, limit: int) -> int:
        """Delete up to `limit` deliveries that are older than a week, and return how many."""
        return (await self._connection.execute(_DELETE_OLD, {"limit": limit})).rowcount
