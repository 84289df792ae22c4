"""The audit log: entries of acts that have no statement of their own, and pages of entries.

No row is ever updated, except that the deletion of a user clears the addresses and agents of the user's rows, nor
deleted: `audit_partitions` drops whole months. Triggers refuse everything else.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, AuditCursor, AuditEntry, Resource
from domain.text import JSON, printable, safe_json
from infrastructure.database.access.audit_statements import actor_values, insert_entries

_ONE = "(SELECT CAST(:resource AS text) AS resource, CAST(:details AS jsonb) AS details) AS one"
_INSERT = {
    (action, resource): text(
        insert_entries(_ONE, action, resource, user="CAST(:user_id AS uuid)", resource="resource", details="details")
    )
    for action, resource in ((Action.DRAIN, Resource.FLEET), (Action.CLEANUP, Resource.FLEET))
}
_COLUMNS = """
    id, user_id, action, resource_type, resource_id, details, host(ip_address) AS ip_address, user_agent, created_at
"""
_PAGE = """
    SELECT {columns} FROM audit_logs
    WHERE {user} AND {action}
        AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        AND (created_at, id) < (
            coalesce(CAST(:before AS timestamptz), 'infinity'),
            coalesce(CAST(:before_id AS uuid), 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""
# A statement for each choice, so that every plan, also one that is kept for all parameters, reads an index in order.
_PAGES = {
    (by_user, by_action): text(
        _PAGE.format(
            columns=_COLUMNS,
            user="user_id = :user_id" if by_user else "true",
            action="action = :action" if by_action else "true",
        )
    )
    for by_user in (False, True)
    for by_action in (False, True)
}
_FORGET = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id, created_at FROM audit_logs
        WHERE user_id = :user_id AND (ip_address IS NOT NULL OR user_agent IS NOT NULL)
        ORDER BY created_at, id LIMIT :limit FOR UPDATE
    )
    UPDATE audit_logs SET ip_address = NULL, user_agent = NULL FROM chosen
    WHERE audit_logs.id = chosen.id AND audit_logs.created_at = chosen.created_at
""")


class AuditRepository:
    """The table `audit_logs`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(
        self,
        action: Action,
        resource_type: Resource,
        resource_id: str | None,
        *,
        actor: Actor,
        details: Mapping[str, JSON],
        user_id: UUID | None = None,
    ) -> None:
        """Insert an entry for an act that no other statement of this database records: a drain or a cleanup."""
        values = {
            "user_id": user_id,
            "resource": None if resource_id is None else printable(resource_id),
            "details": json.dumps(safe_json(details), allow_nan=False),
        }
        await self._connection.execute(_INSERT[action, resource_type], {**values, **actor_values(actor)})

    async def list_entries(
        self,
        *,
        user_id: UUID | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        limit: int,
        after: AuditCursor | None = None,
    ) -> list[AuditEntry]:
        """Return one page, newest first, starting after `after`: entries of all users and actions that are not given.

        All pages cost the same.
        """
        before, before_id = (None, None) if after is None else (after.created_at, after.entry_id)
        values: dict[str, JSON] = {"since": since, "limit": limit, "before": before, "before_id": before_id}
        if user_id is not None:
            values["user_id"] = user_id
        if action is not None:
            values["action"] = str(action)
        rows = await self._connection.execute(_PAGES[user_id is not None, action is not None], values)
        return [_entry_from_row(row) for row in rows.mappings()]

    async def forget_addresses(self, user_id: UUID, limit: int) -> int:
        """Clear address and agent in up to `limit` of the user's entries. Returns the number of entries."""
        return (await self._connection.execute(_FORGET, {"user_id": user_id, "limit": limit})).rowcount


def _entry_from_row(row: RowMapping) -> AuditEntry:
    return AuditEntry(
        entry_id=row["id"],
        user_id=row["user_id"],
        action=row["action"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        details=row["details"],
        address=row["ip_address"],
        user_agent=row["user_agent"],
        created_at=row["created_at"],
    )
