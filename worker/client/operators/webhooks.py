"""Webhook deliveries of all users for operators: what became of them, and sending one again."""

from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidInputError
from domain.text import JSON
from domain.webhooks import DeliveryCursor, DeliveryState, OwnedDelivery
from infrastructure.database.engine import Database
from infrastructure.database.queries.all_deliveries import AllDeliveries
from worker.client.serializers import webhook_delivery_to_json

MAX_LISTED_DELIVERIES = 1_000


class WebhooksClient:
    """The webhook deliveries of all users."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database, self._actor = database, actor

    async def list_page(
        self, state: DeliveryState | None, *, limit: int = 100, after: DeliveryCursor | None = None
    ) -> list[OwnedDelivery]:
        """Return one page of the deliveries, at most `limit` and MAX_LISTED_DELIVERIES, each with its receiver's email.

        Waiting ones come by when they are due, given up ones newest first, and without a `state` those that have ended
        either way, newest first. Those that were delivered have no list of their own: raises InvalidInputError. For the
        next page, pass the `cursor` of the last one as `after`. All pages cost the same.
        """
        if state is DeliveryState.DELIVERED:
            raise InvalidInputError("delivered webhooks are listed with those that were given up: name no state")
        async with self._database.unit_of_work() as work:
            limit = max(1, min(limit, MAX_LISTED_DELIVERIES))
            return await AllDeliveries(work).list_page(state, limit=limit, after=after)

    async def resend(self, delivery_id: UUID) -> OwnedDelivery:
        """Send the webhook again within seconds, also one that has arrived. Raises NotFoundError.

        One that has ended gets all its attempts again. Its id stays, so its receiver can see that it had it before.
        """
        async with self._database.unit_of_work() as work:
            return await AllDeliveries(work).resend(delivery_id, self._actor)


def owned_delivery_to_json(owned: OwnedDelivery) -> dict[str, JSON]:
    """Return the delivery with its job, its receiver and the host of its URL, which may itself hold a secret."""
    email, delivery = owned
    return {
        **webhook_delivery_to_json(delivery),
        "job_id": delivery.job_id,
        "owner": email,
        "host": delivery.host,
    }
