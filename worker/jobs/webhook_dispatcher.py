"""Delivery of webhooks about ended jobs. It uses no slot, so that no job waits for a receiver's server.

A receiver that does not answer keeps a delivery for the whole time limit. So a host gets few deliveries at a time, and
all hosts that did not answer the last time get half of the places together. What waits for a host is not claimed: it
takes no place from other hosts, and no attempt is counted.
"""

import asyncio
import random
from collections import Counter
from urllib.parse import urlsplit

import structlog

from domain.errors import InvalidInputError
from domain.webhooks import MAX_DELIVERY_ATTEMPTS, WebhookDelivery, delivery_backoff_seconds
from infrastructure.database.engine import Database
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from infrastructure.observability.log_throttle import OutageLog
from infrastructure.observability.prometheus_metrics import WEBHOOK_DELIVERIES
from infrastructure.outbound.webhook_sender import (
    DELIVERY_TIMEOUT_SECONDS,
    WebhookDeliveryError,
    WebhookSender,
    WebhookTimeoutError,
)

POLL_SECONDS = 5.0
"""Interval between polls for deliveries that this worker did not store: by a rescue, a client or a dead worker."""

MAX_CONCURRENT = 200
"""Deliveries under way, each with a connection; they mostly wait."""

MAX_UNANSWERED = 100
"""Of these, deliveries to hosts that did not answer the last time. So however many hosts hang, those that answer wait
for them only until each has hung once."""

MAX_PER_HOST = 2
MAX_REMEMBERED = 10_000
"""Hosts that did not answer the last time; of more, the first are forgotten."""

MAX_CONCURRENT_WRITES = 4
"""Outcomes written at a time, so that many time-outs at once do not take the jobs' database connections."""

DELIVERY_LEASE_SECONDS = 6 * DELIVERY_TIMEOUT_SECONDS
"""A delivery is due again after so long if its worker died while sending it."""

log = structlog.get_logger(__name__)


class WebhookDispatcher:
    """The delivery loop of one worker. Delivers at least once; a receiver recognises repeats by their `webhook-id`."""

    def __init__(self, database: Database, sender: WebhookSender) -> None:
        self._database = database
        self._sender = sender
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._unanswered: dict[str, None] = {}
        self._writes = asyncio.Semaphore(MAX_CONCURRENT_WRITES)
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """Poll now: a delivery may be due."""
        self._wakeup.set()

    async def run(self) -> None:
        """Run until cancelled. Deliveries that this interrupts are repeated when their lease has expired."""
        outage = OutageLog("webhook.claim_failed")
        try:
            while True:
                self._wakeup.clear()
                with outage.suppressed():
                    await self._start_due()
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
        under_way = self._under_way()
        async with self._database.unit_of_work() as work:
            claimed = await WebhookDeliveryRepository(work).claim_due(
                free, DELIVERY_LEASE_SECONDS, per_host=MAX_PER_HOST, under_way=under_way
            )
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks[task] = delivery.host
            task.add_done_callback(self._ended)

    def _under_way(self) -> Counter[str]:
        """Count the deliveries under way by host; a host that gets no place now counts as one at its limit.

        Of the hosts that did not answer, those that hung longest ago get the places that are left for them.
        """
        under_way = Counter(self._tasks.values())
        places = MAX_UNANSWERED - sum(under_way[host] for host in self._unanswered)
        for host in self._unanswered:
            wanted = MAX_PER_HOST - under_way[host]
            if wanted > places:
                under_way[host] = MAX_PER_HOST
            else:
                places -= wanted
        return under_way

    def _remember(self, host: str, *, answered: bool) -> None:
        self._unanswered.pop(host, None)
        if not answered:
            self._unanswered[host] = None
        if len(self._unanswered) > MAX_REMEMBERED:
            del self._unanswered[next(iter(self._unanswered))]

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        self.wake()
        if not task.cancelled() and task.exception() is not None:
            # The delivery is sent again when its lease has expired.
            log.warning("webhook.status_write_failed", reason=str(task.exception()))

    async def _deliver(self, delivery: WebhookDelivery) -> None:
        fields = {"job_id": delivery.job_id, "delivery": delivery.attempt, "host": urlsplit(delivery.url).hostname}
        try:
            await self._sender.send(delivery)
        except (WebhookDeliveryError, InvalidInputError) as error:
            self._remember(delivery.host, answered=not isinstance(error, WebhookTimeoutError))
            await self._record_failure(delivery, str(error), fields)
            return
        self._remember(delivery.host, answered=True)
        async with self._writes, self._database.unit_of_work() as work:
            await WebhookDeliveryRepository(work).mark_delivered(delivery)
        WEBHOOK_DELIVERIES.labels("delivered").inc()
        log.info("webhook.delivered", **fields)

    async def _record_failure(self, delivery: WebhookDelivery, reason: str, fields: dict[str, object]) -> None:
        give_up = delivery.attempt >= MAX_DELIVERY_ATTEMPTS
        delay = delivery_backoff_seconds(delivery.attempt, random.random())  # nosec B311 # noqa: S311 - jitter
        async with self._writes, self._database.unit_of_work() as work:
            await WebhookDeliveryRepository(work).mark_failed(delivery, reason, delay_seconds=delay, give_up=give_up)
        WEBHOOK_DELIVERIES.labels("given_up" if give_up else "failed").inc()
        log.warning("webhook.given_up" if give_up else "webhook.delivery_failed", **fields, reason=reason)
