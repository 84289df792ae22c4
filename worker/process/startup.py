"""What a worker needs may come up after it: PostgreSQL, its schema, Redis. It waits until all are there."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from domain.errors import ServiceUnavailableError
from infrastructure.database.migrate import behind
from infrastructure.database.urls import sqlalchemy_url
from infrastructure.redis.queue import connect
from infrastructure.settings import Settings

AGAIN_SECONDS = 1.0
REMIND_SECONDS = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is not there yet, as the log's event says it, and why in one line."""

    event: str
    reason: str


async def wait_for_services(settings: Settings, ended: asyncio.Event, tell: Callable[[str], None]) -> bool:
    """Return True once all is there, and False as soon as `ended` is set.

    `tell` hears what is waited for. Raises ServiceUnavailableError with that after STARTUP_WAIT seconds.
    """
    looking = asyncio.create_task(_until_there(settings, tell))
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({looking, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            return False
        await looking
        return True
    finally:
        for task in (looking, ending):
            task.cancel()
            with suppress(asyncio.CancelledError, ServiceUnavailableError):
                await task


async def _until_there(settings: Settings, tell: Callable[[str], None]) -> None:
    began, said, said_at = time.monotonic(), "", 0.0
    while (missing := await _missing(settings)) is not None:
        now = time.monotonic()
        tell(missing.reason)
        if settings.startup_wait is not None and now - began >= settings.startup_wait:
            raise ServiceUnavailableError(missing.reason)
        if missing.event != said or now - said_at >= REMIND_SECONDS:
            said, said_at = missing.event, now
            log.warning(missing.event, reason=missing.reason)
        await asyncio.sleep(AGAIN_SECONDS)
    if said:
        log.info("startup.services_ready", seconds=round(time.monotonic() - began, 1))


async def _missing(settings: Settings) -> Missing | None:
    try:
        schema = await behind(sqlalchemy_url(settings))
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
