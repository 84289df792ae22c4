"""Notices on their way. A trigger on `jobs` writes them, in the transaction that ends the job."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.text import one_line
from domain.webhooks import Notice

_COLUMNS = """
    notices.notice_id, notices.job_id, notices.user_id, notices.url, notices.status, notices.error_message,
    notices.run_id, notices.finished_at, notices.attempt, notices.due_at, notices.delivered_at, notices.given_up_at,
    notices.last_error
"""
_OPEN = "delivered_at IS NULL AND given_up_at IS NULL"

# Those that were never tried come first: addresses that do not answer hold up nobody else's.
_CLAIM = text(f"""
    WITH due AS MATERIALIZED (
        SELECT notice_id FROM notices WHERE {_OPEN} AND due_at <= statement_timestamp()
        ORDER BY attempt, due_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE notices SET attempt = attempt + 1, due_at = statement_timestamp() + make_interval(secs => :lease)
    FROM due WHERE notices.notice_id = due.notice_id
    RETURNING {_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_DELIVERED = text("""
    UPDATE notices SET delivered_at = statement_timestamp(), last_error = NULL
    WHERE notice_id = :notice_id AND delivered_at IS NULL
""")

_FAILED = text(f"""
    UPDATE notices
    SET last_error = :error, due_at = statement_timestamp() + make_interval(secs => :delay),
        given_up_at = CASE WHEN :give_up THEN statement_timestamp() END
    WHERE notice_id = :notice_id AND attempt = :attempt AND {_OPEN}
""")  # nosec B608 # noqa: S608

_OF_JOB = text(f"SELECT {_COLUMNS} FROM notices WHERE job_id = :job_id ORDER BY created_at, notice_id")  # nosec B608 # noqa: S608
_FORGET_USER = text("DELETE FROM notices WHERE user_id = :user_id")
_FORGET_OLD = text("""
    DELETE FROM notices
    WHERE coalesce(delivered_at, given_up_at) < statement_timestamp() - make_interval(secs => :retention)
""")


class NoticeRepository:
    """The table `notices`, within one unit of work; all times are the database's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim_due(self, limit: int, lease_seconds: float) -> list[Notice]:
        """Due notices, now ours to deliver within the lease; after it they are due again.

        Two claimers never get the same one, and neither waits for the other.
        """
        rows = await self._connection.execute(_CLAIM, {"limit": limit, "lease": lease_seconds})
        return [notice_from(row) for row in rows.mappings()]

    async def delivered(self, notice: Notice) -> None:
        """Note that it has arrived."""
        await self._connection.execute(_DELIVERED, {"notice_id": notice.notice_id})

    async def failed(self, notice: Notice, error: str, *, delay_seconds: float, give_up: bool) -> None:
        """Note why it has not: due again after the delay, or given up. Nothing where another has tried since."""
        values = {"error": one_line(error, 200), "delay": delay_seconds, "give_up": give_up}
        fence = {"notice_id": notice.notice_id, "attempt": notice.attempt}
        await self._connection.execute(_FAILED, {**fence, **values})

    async def of_job(self, job_id: str) -> list[Notice]:
        """The notices of a job, oldest first: one for each time that it has ended."""
        rows = await self._connection.execute(_OF_JOB, {"job_id": job_id})
        return [notice_from(row) for row in rows.mappings()]

    async def forget_user(self, user_id: UUID) -> None:
        """Delete a user's notices."""
        await self._connection.execute(_FORGET_USER, {"user_id": user_id})

    async def forget_old(self, retention_seconds: float) -> None:
        """Delete those that were delivered or given up so long ago."""
        await self._connection.execute(_FORGET_OLD, {"retention": retention_seconds})


def notice_from(row: Mapping[Any, Any]) -> Notice:
    """From a row of the table."""
    return Notice(**row)
