"""Webhook deliveries of all users, for operators: pages by state, and sending one again."""

from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import NotFoundError
from domain.text import one_line
from domain.webhooks import DeliveryCursor, DeliveryState, OwnedDelivery, WebhookDelivery
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.tables import DELIVERY_HOST

# Without the numbers of the run, which a message has and a list does not show.
_COLUMNS = f"""
    notices.notice_id AS delivery_id, notices.job_id, notices.user_id, notices.url, {DELIVERY_HOST} AS host,
    notices.status, notices.error_message, notices.run_id, notices.finished_at, notices.attempt, notices.due_at,
    notices.delivered_at, notices.given_up_at, notices.last_error, notices.repository_id
"""
_ENDED_AT = "coalesce(delivered_at, given_up_at)"


def _page(condition: str, at: str, direction: str, compare: str, start: str) -> TextClause:
    """Return the statement for a page in the order of `at`, each from an index of its own.

    A bound that is not given becomes infinite, so that every plan starts at the cursor.
    """
    place = f"coalesce(CAST(:at AS timestamptz), '{start}')"
    return text(f"""
        SELECT users.email, {_COLUMNS} FROM (
            SELECT * FROM notices
            WHERE {condition} AND {at} {compare}= {place}
                AND ({at}, notice_id) {compare} ({place}, CAST(:delivery_id AS uuid))
            ORDER BY {at} {direction}, notice_id {direction} LIMIT :limit
        ) AS notices LEFT JOIN users ON users.id = notices.user_id
        ORDER BY {at} {direction}, notice_id {direction}
    """)  # nosec B608 # noqa: S608 - no input in it


_PAGES = {
    DeliveryState.WAITING: _page("delivered_at IS NULL AND given_up_at IS NULL", "due_at", "ASC", ">", "-infinity"),
    DeliveryState.GIVEN_UP: _page("given_up_at IS NOT NULL", "given_up_at", "DESC", "<", "infinity"),
    None: _page("(delivered_at IS NOT NULL OR given_up_at IS NOT NULL)", _ENDED_AT, "DESC", "<", "infinity"),
}
_FIRST = {"ASC": UUID(int=0), "DESC": UUID(int=2**128 - 1)}

# What waits is due now, and keeps its number of attempts, which fences off an attempt that is under way.
_ENTRY = insert_entries(
    "changed",
    Action.RESEND_WEBHOOK,
    Resource.WEBHOOK,
    user="user_id",
    resource="CAST(notice_id AS text)",
    details="jsonb_build_object('job_id', job_id)",
)
_RESEND = text(f"""
    WITH changed AS (
        UPDATE notices SET delivered_at = NULL, given_up_at = NULL, due_at = statement_timestamp(),
            attempt = CASE WHEN delivered_at IS NULL AND given_up_at IS NULL THEN attempt ELSE 0 END
        WHERE notice_id = :id RETURNING *
    ), logged AS ({_ENTRY})
    SELECT users.email, {_COLUMNS} FROM changed AS notices LEFT JOIN users ON users.id = notices.user_id
""")  # nosec B608 # noqa: S608 - no input in it


class AllDeliveries:
    """The table `notices` for operators, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_page(
        self, state: DeliveryState | None, *, limit: int, after: DeliveryCursor | None = None
    ) -> list[OwnedDelivery]:
        """Return one page of those in the state: waiting ones by when they are due, given up ones newest first.

        Without a state, those that have ended either way, newest first. All pages cost the same. There is no list of
        delivered ones alone: `state` is any but DELIVERED.
        """
        first = _FIRST["ASC" if state is DeliveryState.WAITING else "DESC"]
        place = (
            {"at": None, "delivery_id": first} if after is None else {"at": after.at, "delivery_id": after.delivery_id}
        )
        rows = await self._connection.execute(_PAGES[state], {"limit": limit, **place})
        return [_owned(row) for row in rows.mappings()]

    async def resend(self, delivery_id: UUID, actor: Actor) -> OwnedDelivery:
        """Make the delivery due now, with all its attempts if it has ended. Raises NotFoundError."""
        rows = await self._connection.execute(_RESEND, {"id": delivery_id, **actor_values(actor)})
        row = rows.mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no webhook delivery {one_line(str(delivery_id), 80)}")
        return _owned(row)


def _owned(row: RowMapping) -> OwnedDelivery:
    return row["email"], WebhookDelivery(**{name: value for name, value in row.items() if name != "email"})
