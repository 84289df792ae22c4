"""Delivery of webhooks about ended jobs. It uses no slot, so that no job waits for a receiver's server."""

import asyncio
import random
from urllib.parse import urlsplit

import structlog

from domain.errors import InvalidInputError, TransientError
from domain.webhooks import MAX_DELIVERY_ATTEMPTS, WebhookDelivery, delivery_backoff_seconds
from infrastructure.database.engine import Database
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.prometheus_metrics import WEBHOOK_DELIVERIES
from infrastructure.outbound.webhook_sender import DELIVERY_TIMEOUT_SECONDS, WebhookDeliveryError, WebhookSender

POLL_SECONDS = 5.0
"""Interval between polls for deliveries that this worker did not store: by a rescue, a client or a dead worker."""

MAX_CONCURRENT = 10
LEASE_SECONDS = 6 * DELIVERY_TIMEOUT_SECONDS
"""A delivery is due again after so long if its worker died while sending it."""

log = structlog.get_logger(__name__)


class WebhookDispatcher:
    """The delivery loop of one worker. Delivers at least once; a receiver recognises repeats by their `webhook-id`."""

    def __init__(self, database: Database, sender: WebhookSender) -> None:
        self._database = database
        self._sender = sender
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """Poll now: a delivery may be due."""
        self._wakeup.set()

    async def run(self) -> None:
        """Run until cancelled. Deliveries that this interrupts are repeated when their lease has expired."""
        throttle = LogThrottle()
        try:
            while True:
                self._wakeup.clear()
                try:
                    await self._start_due()
                    throttle.reset()
                except TransientError as error:
                    if throttle.allows():
                        log.warning("webhook.claim_failed", reason=str(error))
                await self._wait_for_wakeup()
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_wakeup(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wakeup.wait()
        except TimeoutError:
            return

    async def _start_due(self) -> None:
        free = MAX_CONCURRENT - len(self._tasks)
        if free <= 0:
            return  # the end of a delivery wakes the loop
        async with self._database.unit_of_work() as work:
            claimed = await WebhookDeliveryRepository(work).claim_due(free, LEASE_SECONDS)
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.wake()
        if not task.cancelled() and task.exception() is not None:
            # The delivery is sent again when its lease has expired.
            log.warning("webhook.status_write_failed", reason=str(task.exception()))

    async def _deliver(self, delivery: WebhookDelivery) -> None:
        fields = {"job_id": delivery.job_id, "delivery": delivery.attempt, "host": urlsplit(delivery.url).hostname}
        try:
            await self._sender.send(delivery)
        except (WebhookDeliveryError, InvalidInputError) as error:
            await self._record_failure(delivery, str(error), fields)
            return
        async with self._database.unit_of_work() as work:
            await WebhookDeliveryRepository(work).mark_delivered(delivery)
        WEBHOOK_DELIVERIES.labels("delivered").inc()
        log.info("webhook.delivered", **fields)

    async def _record_failure(self, delivery: WebhookDelivery, reason: str, fields: dict[str, object]) -> None:
        give_up = delivery.attempt >= MAX_DELIVERY_ATTEMPTS
        delay = delivery_backoff_seconds(delivery.attempt, random.random())  # nosec B311 # noqa: S311 - jitter
        async with self._database.unit_of_work() as work:
            await WebhookDeliveryRepository(work).mark_failed(delivery, reason, delay_seconds=delay, give_up=give_up)
        WEBHOOK_DELIVERIES.labels("given_up" if give_up else "failed").inc()
        log.warning("webhook.given_up" if give_up else "webhook.delivery_failed", **fields, reason=reason)
