"""Partitions of the audit log: one a month in UTC, and a default one for rows whose month has none.

The functions that the statements call come from a migration. They do nothing while nothing is due. A partition is
made and attached without stopping those who insert, unless the default one has rows of that month; to drop one, all
who use the table must end their transactions, which are short.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MONTHS_AHEAD = 3
LOCK_TIMEOUT = "2s"
"""All who insert wait behind a statement that waits for its lock. What fails is due again at the next cleanup."""

_LIMIT_WAIT = text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
_CREATE = text("SELECT create_audit_partitions(:ahead, :keep)")
_DROP = text("SELECT drop_audit_partitions(:keep)")


class AuditPartitionRepository:
    """The partitions of `audit_logs`, within one unit of work that does nothing else. Time is the database's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create_missing(self, keep_months: int) -> int:
        """Create the partitions of this month and MONTHS_AHEAD more. Returns how many were created.

        Rows of the default partition that are not older than `keep_months` get the partitions of their months.
        """
        await self._connection.execute(_LIMIT_WAIT)
        return int(await self._connection.scalar(_CREATE, {"ahead": MONTHS_AHEAD, "keep": keep_months}))

    async def drop_old(self, keep_months: int) -> int:
        """Drop the partitions whose month ended more than `keep_months` months ago. Returns how many were dropped."""
        await self._connection.execute(_LIMIT_WAIT)
        return int(await self._connection.scalar(_DROP, {"keep": keep_months}))
