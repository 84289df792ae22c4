"""Wait at startup until PostgreSQL, its schema and Redis are available: they may start after the worker."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from domain.errors import ServiceUnavailableError
from infrastructure.database.connecting import sqlalchemy_url
from infrastructure.database.migrate import schema_problem
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.redis.queue import connect
from infrastructure.settings import Settings
from worker.retry import OutageTimer

RETRY_SECONDS = 1.0
LOG_SECONDS = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is not available yet: the log event that says so, and the reason in one line."""

    event: str
    reason: str


async def wait_for_services(settings: Settings, stop: asyncio.Event, on_waiting: Callable[[str], None]) -> bool:
    """Return True when all services are available, and False as soon as `stop` is set.

    Calls `on_waiting` with the reason after each check. Raises ServiceUnavailableError after STARTUP_WAIT seconds.
    """
    waiting = asyncio.create_task(_wait(settings, on_waiting))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return False
        await waiting
        return True
    finally:
        for task in (waiting, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError, ServiceUnavailableError):
                await task


async def _wait(settings: Settings, on_waiting: Callable[[str], None]) -> None:
    started, waited, throttle = time.monotonic(), False, LogThrottle(LOG_SECONDS)
    limit = math.inf if settings.startup_wait is None else settings.startup_wait
    outage = OutageTimer(limit, started_at=started)
    while (missing := await _missing(settings)) is not None:
        waited = True
        on_waiting(missing.reason)
        outage.check(ServiceUnavailableError(missing.reason))
        if throttle.allows(missing.event):
            log.warning(missing.event, reason=missing.reason)
        await asyncio.sleep(RETRY_SECONDS)
    if waited:
        log.info("startup.services_ready", seconds=round(time.monotonic() - started, 1))


async def _missing(settings: Settings) -> Missing | None:
    try:
        schema = await schema_problem(sqlalchemy_url(settings), pooled=settings.pools_transactions)
    except ServiceUnavailableError as error:
        return Missing(event="startup.waiting_for_postgresql", reason=str(error))
    if schema is not None:
        return Missing(event="startup.waiting_for_migration", reason=schema)
    try:
        redis = await connect(settings.redis_dsn().get_secret_value(), retries=0)
    except ServiceUnavailableError as error:
        return Missing(event="startup.waiting_for_redis", reason=str(error))
    await redis.aclose()
    return None
