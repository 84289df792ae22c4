"""Delivers the notices of ended jobs, beside the jobs: no slot waits for a stranger's server."""

import asyncio
import random
from urllib.parse import urlsplit

import structlog

from domain.errors import InvalidInputError, TransientError
from domain.webhooks import MAX_ATTEMPTS, Notice, retry_seconds
from infrastructure.database.engine import Database
from infrastructure.database.repositories.webhook_deliveries import NoticeRepository
from infrastructure.observability.prometheus_metrics import NOTICES
from infrastructure.outbound.webhook_sender import DELIVERY_TIMEOUT_SECONDS, WebhookDeliveryError, WebhookSender

POLL_SECONDS = 5.0
"""How often notices are looked for that others have left: a rescue, an owner, a worker that died."""

AT_ONCE = 10
LEASE_SECONDS = 6 * DELIVERY_TIMEOUT_SECONDS
"""A notice whose worker died while delivering it is due again after this."""

log = structlog.get_logger(__name__)


class WebhookDispatcher:
    """The loop of one replica. At least once: who gets a notice twice knows it by its `webhook-id`."""

    def __init__(self, database: Database, sender: WebhookSender) -> None:
        self._database = database
        self._sender = sender
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """There may be a notice now: look at once."""
        self._wakeup.set()

    async def run(self) -> None:
        """Until cancelled; what is under way then is delivered again, after its lease."""
        away = False
        try:
            while True:
                self._wakeup.clear()
                try:
                    await self._begin()
                    away = False
                except TransientError as error:
                    if not away:
                        log.warning("webhook.claim_failed", reason=str(error))
                    away = True
                await self._pause()
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wakeup.wait()
        except TimeoutError:
            return

    async def _begin(self) -> None:
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return  # one that ends will wake
        async with self._database.unit_of_work() as work:
            claimed = await NoticeRepository(work).claim_due(room, LEASE_SECONDS)
        for notice in claimed:
            task = asyncio.create_task(self._deliver(notice))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.wake()
        if not task.cancelled() and task.exception() is not None:
            log.warning(
                "webhook.status_write_failed", reason=str(task.exception())
            )  # its lease runs out, and it is sent again

    async def _deliver(self, notice: Notice) -> None:
        told = {"job_id": notice.job_id, "delivery": notice.attempt, "host": urlsplit(notice.url).hostname}
        try:
            await self._sender.send(notice)
        except (WebhookDeliveryError, InvalidInputError) as error:
            await self._note_failure(notice, str(error), told)
            return
        async with self._database.unit_of_work() as work:
            await NoticeRepository(work).delivered(notice)
        NOTICES.labels("delivered").inc()
        log.info("webhook.delivered", **told)

    async def _note_failure(self, notice: Notice, reason: str, told: dict[str, object]) -> None:
        give_up = notice.attempt >= MAX_ATTEMPTS
        delay = retry_seconds(notice.attempt, random.random())  # nosec B311 # noqa: S311 - spreads load
        async with self._database.unit_of_work() as work:
            await NoticeRepository(work).failed(notice, reason, delay_seconds=delay, give_up=give_up)
        NOTICES.labels("given_up" if give_up else "failed").inc()
        log.warning("webhook.given_up" if give_up else "webhook.delivery_failed", **told, reason=reason)
