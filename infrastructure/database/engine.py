"""Connections and the unit of work. Repositories act within one; it alone commits."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import URL, QueuePool, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from infrastructure.database.errors import translated_errors
from infrastructure.database.urls import sqlalchemy_url
from infrastructure.json_codec import dumps, loads
from infrastructure.settings import Settings

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
"""The server gives a statement up after this, our side a little later: a server that vanished says nothing."""

LOCK_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 60
POOL_SECONDS = 30
RECYCLE_SECONDS = 1_800
TRUSTED_SECONDS = 0.5
"""A connection that was in use so lately is not tried again before it is lent: trying costs three exchanges."""


def _dumps(value: Any) -> str:
    return dumps(value).decode()


def create_engine(url: URL, *, pool_size: int = 5, max_overflow: int = 10, name: str = "vibe8") -> AsyncEngine:
    """The engine of one event loop; `name` is what `pg_stat_activity` shows.

    A pooled connection that has been idle is tried before it is lent, so that a restarted PostgreSQL costs no error.
    Statements and their parameters (uploads) appear in no error text.
    """
    server_settings = {
        "application_name": name,
        "timezone": "UTC",
        "statement_timeout": str(STATEMENT_SECONDS * 1000),
        "lock_timeout": str(LOCK_SECONDS * 1000),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_SECONDS * 1000),
    }
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=POOL_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        hide_parameters=True,
        json_serializer=_dumps,
        json_deserializer=loads,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS + 5,
            "server_settings": server_settings,
        },
    )
    _try_the_idle(engine)
    return engine


def _try_the_idle(engine: AsyncEngine) -> None:
    """What `pool_pre_ping` does, save for connections that have just been in use and have not heard of an end."""
    pool, dialect = engine.sync_engine.pool, engine.sync_engine.dialect

    def note(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    def check(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        driver: Any = record.driver_connection
        if driver.is_closed():
            raise DisconnectionError  # the pool then lends another one
        if time.monotonic() - record.info.get("used", -math.inf) > TRUSTED_SECONDS:
            try:
                dialect.do_ping(connection)
            except dialect.dbapi.Error as error:  # type: ignore[union-attr]
                raise DisconnectionError from error

    event.listen(pool, "connect", note)
    event.listen(pool, "checkin", note)
    event.listen(pool, "checkout", check)


class Database:
    """One PostgreSQL, as one event loop uses it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def from_settings(cls, settings: Settings, name: str = "vibe8") -> "Database":
        """With the pool that the settings ask for. Nothing is connected yet."""
        url, size = sqlalchemy_url(settings), settings.db_pool_size
        return cls(create_engine(url, pool_size=size, max_overflow=settings.db_max_overflow, name=name))

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for repositories: committed when the block ends, rolled back when it raises.

        Raises ServiceUnavailableError where the database is away, busy or not migrated. After one at the very end it
        is not known whether the commit happened; a running attempt's fence makes trying again safe.
        """
        async with translated_errors(), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """For one statement, which is a transaction by itself: two exchanges less than a unit of work.

        Raises what that does; and as there, it may not be known whether it happened.
        """
        async with translated_errors(), self._engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def ping(self) -> str:
        """The server's version, if it answers. Raises ServiceUnavailableError."""
        async with self.unit_of_work() as connection:
            return str(await connection.scalar(text("SHOW server_version")))

    async def server_time(self) -> float:
        """The server's clock, in seconds since 1970. Raises ServiceUnavailableError."""
        async with self.unit_of_work() as connection:
            return float(await connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8")))

    def pool_usage(self) -> tuple[int, int]:
        """How many pooled connections are in use just now, and how many are idle."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)  # nosec B101 # noqa: S101 - `create_engine` makes no other
        return pool.checkedout(), pool.checkedin()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()
