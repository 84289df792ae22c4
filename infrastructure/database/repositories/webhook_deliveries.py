"""Webhook deliveries. A trigger on `jobs` inserts them, in the transaction that ends the job."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.text import one_line
from domain.webhooks import WebhookDelivery
from infrastructure.database.tables import DELIVERY_HOST

_COLUMNS = f"""
    notices.notice_id AS delivery_id, notices.job_id, notices.user_id, notices.url, {DELIVERY_HOST} AS host,
    notices.status, notices.error_message, notices.run_id,
    (SELECT review_verdict FROM analysis_runs AS run WHERE run.run_id = notices.run_id) AS verdict,
    (SELECT comparison -> 'counts' FROM analysis_runs AS run WHERE run.run_id = notices.run_id) AS counts,
    (SELECT CAST(comparison -> 'fixed' ->> 'total' AS integer) FROM analysis_runs AS run
        WHERE run.run_id = notices.run_id) AS fixed,
    notices.finished_at, notices.attempt, notices.due_at,
    notices.delivered_at, notices.given_up_at, notices.last_error, notices.repository_id
"""  # nosec B608 # noqa: S608 - no input in it
_OPEN = "delivered_at IS NULL AND given_up_at IS NULL"

# The claim steps through the hosts of `ix_notices_open_host`, and reads at each host only the deliveries that the host
# may still get. So the cost does not grow with the backlog of a host. Deliveries with fewer attempts come first, so
# that receivers that do not answer delay no other. The EXISTS keeps a claim cheap while nothing is due.
_CLAIM = text(f"""
    WITH RECURSIVE hosts AS (
        (SELECT {DELIVERY_HOST} AS host FROM notices
         WHERE {_OPEN} AND EXISTS (SELECT 1 FROM notices WHERE {_OPEN} AND due_at <= statement_timestamp())
         ORDER BY {DELIVERY_HOST} LIMIT 1)
        UNION ALL
        SELECT (SELECT {DELIVERY_HOST} FROM notices WHERE {_OPEN} AND {DELIVERY_HOST} > hosts.host
                ORDER BY {DELIVERY_HOST} LIMIT 1)
        FROM hosts WHERE hosts.host IS NOT NULL
    ), due AS MATERIALIZED (
        SELECT next.notice_id FROM hosts
        LEFT JOIN unnest(CAST(:hosts AS varchar[]), CAST(:counts AS integer[])) AS under_way (host, count) USING (host)
        CROSS JOIN LATERAL (
            SELECT notice_id, attempt, due_at FROM notices
            WHERE {_OPEN} AND {DELIVERY_HOST} = hosts.host AND due_at <= statement_timestamp()
            ORDER BY due_at LIMIT greatest(0, :per_host - coalesce(under_way.count, 0))
            FOR UPDATE SKIP LOCKED
        ) AS next
        ORDER BY next.attempt, next.due_at LIMIT :limit
    )
    UPDATE notices SET attempt = attempt + 1, due_at = statement_timestamp() + make_interval(secs => :lease)
    FROM due WHERE notices.notice_id = due.notice_id
    RETURNING {_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it

_MARK_DELIVERED = text("""
    UPDATE notices SET delivered_at = statement_timestamp(), last_error = NULL
    WHERE notice_id = :delivery_id AND delivered_at IS NULL
""")

_MARK_FAILED = text(f"""
    UPDATE notices
    SET last_error = :error, due_at = statement_timestamp() + make_interval(secs => :delay),
        given_up_at = CASE WHEN :give_up THEN statement_timestamp() END
    WHERE notice_id = :delivery_id AND attempt = :attempt AND {_OPEN}
""")  # nosec B608 # noqa: S608

_LIST_FOR_JOB = text(f"""
    SELECT {_COLUMNS} FROM notices WHERE job_id = :job_id AND user_id = :user_id ORDER BY created_at, notice_id
""")  # nosec B608 # noqa: S608 - no input in it


class WebhookDeliveryRepository:
    """The table `notices`, within one unit of work. All times are the database's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim_due(
        self, limit: int, lease_seconds: float, *, per_host: int, under_way: Mapping[str, int]
    ) -> list[WebhookDelivery]:
        """Claim up to `limit` due deliveries for `lease_seconds`; after that they are due again.

        A host gets at most `per_host` deliveries, less those that `under_way` counts for it. Two concurrent claims
        never get the same delivery, and neither waits for the other.
        """
        limits = {"limit": limit, "per_host": per_host, "lease": lease_seconds}
        values = {**limits, "hosts": list(under_way), "counts": list(under_way.values())}
        rows = await self._connection.execute(_CLAIM, values)
        return [WebhookDelivery(**row) for row in rows.mappings()]

    async def mark_delivered(self, delivery: WebhookDelivery) -> None:
        """Record that the delivery has arrived."""
        await self._connection.execute(_MARK_DELIVERED, {"delivery_id": delivery.delivery_id})

    async def mark_failed(self, delivery: WebhookDelivery, error: str, *, delay_seconds: float, give_up: bool) -> None:
        """Record a failed attempt: due again after the delay, or given up. Ignored if a later attempt has begun."""
        values = {"error": one_line(error, 200), "delay": delay_seconds, "give_up": give_up}
        fence = {"delivery_id": delivery.delivery_id, "attempt": delivery.attempt}
        await self._connection.execute(_MARK_FAILED, {**fence, **values})

    async def list_for_job(self, job_id: str, user_id: UUID) -> list[WebhookDelivery]:
        """Return a job's deliveries to the user, oldest first: one for each time that the job has ended.

        Those to followers of its repository are for them alone.
        """
        rows = await self._connection.execute(_LIST_FOR_JOB, {"job_id": job_id, "user_id": user_id})
        return [WebhookDelivery(**row) for row in rows.mappings()]
