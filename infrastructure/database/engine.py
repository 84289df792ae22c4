"""Connections and transactions. Repositories work within a unit of work, and only the unit of work commits."""

import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import cache
from typing import Any, Protocol

import asyncpg
from sqlalchemy import URL, QueuePool, TextClause, event, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from domain.errors import Vibe8Error
from infrastructure.database.connecting import connect_arguments, sqlalchemy_url
from infrastructure.database.errors import translated_errors
from infrastructure.json_codec import dumps, loads
from infrastructure.settings import Settings

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
"""The server cancels a statement after this time; the client gives up 5 s later if the server has vanished."""

LOCK_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 60
POOL_SECONDS = 30
RECYCLE_SECONDS = 1_800
PING_AFTER_SECONDS = 0.5
"""A connection that was used less than this ago is not pinged at checkout: a ping costs three round trips."""


def _dumps(value: Any) -> str:
    return dumps(value).decode()


def time_limits() -> dict[str, int]:
    """Return PostgreSQL's parameters that limit the time of a session's statements and transactions, in ms."""
    return {
        "statement_timeout": STATEMENT_SECONDS * 1000,
        "lock_timeout": LOCK_SECONDS * 1000,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS * 1000,
    }


def create_engine(
    url: URL, *, pool_size: int = 5, max_overflow: int = 10, name: str = "vibe8", pooled: bool = False
) -> AsyncEngine:
    """Return the engine of one event loop. `pg_stat_activity` shows `name`.

    An idle pooled connection is pinged at checkout, so that a restart of PostgreSQL causes no error. Error texts
    contain neither statements nor their parameters (uploads). With `pooled` the server is a pooler in transaction mode:
    no name and no time limits are set, and every transaction begins with its isolation level.
    """
    limits = {parameter: str(value) for parameter, value in time_limits().items()}
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
            **connect_arguments(name, limits, pooled=pooled),
        },
        # Another client of the pooler may have left its own default in the server's connection.
        **({"isolation_level": "READ COMMITTED"} if pooled else {}),
    )
    _ping_idle_connections(engine)
    return engine


def _ping_idle_connections(engine: AsyncEngine) -> None:
    """Do what `pool_pre_ping` does, except for connections that were used just now and are still open."""
    pool, dialect = engine.sync_engine.pool, engine.sync_engine.dialect

    def record_use(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def ping(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        driver: Any = record.driver_connection
        if driver.is_closed():
            raise DisconnectionError  # the pool then tries another connection
        if time.monotonic() - record.info.get("used_at", -math.inf) > PING_AFTER_SECONDS:
            try:
                dialect.do_ping(connection)
            except dialect.dbapi.Error as error:  # type: ignore[union-attr]
                raise DisconnectionError from error

    event.listen(pool, "connect", record_use)
    event.listen(pool, "checkin", record_use)
    event.listen(pool, "checkout", ping)


class DriverConnection(Protocol):
    """What is used of asyncpg's own connection."""

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        """Run one statement, and return its rows."""


async def fetch(
    connection: AsyncConnection | DriverConnection, statement: TextClause, values: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    """Run the statement on a connection of either kind, and return its rows.

    SQLAlchemy takes half of the time that a program spends on a statement.
    """
    if isinstance(connection, AsyncConnection):
        rows: Sequence[Any] = (await connection.execute(statement, values)).mappings().all()
        return rows
    sql, names = _driver_form(statement)
    return await connection.fetch(sql, *(values[name] for name in names))


class Database:
    """The connections of one event loop to one PostgreSQL."""

    def __init__(self, engine: AsyncEngine, *, pooled: bool = False) -> None:
        """Use the engine; `pooled` as in `create_engine`."""
        self._engine = engine
        self._pooled = pooled

    @classmethod
    def from_settings(cls, settings: Settings, name: str = "vibe8") -> "Database":
        """Return a database with the pool size of the settings. It does not connect yet."""
        engine = create_engine(
            sqlalchemy_url(settings),
            pool_size=settings.db_pool_size,
            max_overflow=settings.db_max_overflow,
            name=name,
            pooled=settings.pools_transactions,
        )
        return cls(engine, pooled=settings.pools_transactions)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for repositories: committed when the block ends, rolled back when it raises.

        Raises ServiceUnavailableError if the database is unreachable, busy or not migrated. If that happens during the
        commit, the outcome of the commit is unknown; the lease token of an attempt makes a repetition safe.
        """
        async with translated_errors(pooled=self._pooled), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for one statement that is its own transaction: two round trips fewer than a unit of work.

        Through a pooler it is a unit of work, because only BEGIN names the isolation level. Raises what `unit_of_work`
        raises; as there, the outcome may then be unknown.
        """
        if self._pooled:
            async with self.unit_of_work() as connection:
                yield connection
            return
        async with translated_errors(), self._engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch(self, statement: TextClause, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Run one statement that is its own transaction, and return its rows.

        As `autocommit`, and cheaper: the driver gets the statement itself, and SQLAlchemy lends the connection alone.
        For what is read with every request. Raises what `unit_of_work` raises.
        """
        async with self.driver() as connection:
            return await fetch(connection, statement, values)

    @asynccontextmanager
    async def driver(self, *, transaction: bool = False) -> AsyncIterator[AsyncConnection | DriverConnection]:
        """Lend the driver's own connection, for `fetch`: each statement is its own transaction, or all are one.

        Through a pooler it is a unit of work. Raises what `unit_of_work` raises; as there, the outcome may then be
        unknown.
        """
        if self._pooled:
            async with self.unit_of_work() as connection:
                yield connection
            return
        async with translated_errors():
            lent = await self._engine.raw_connection()
            driver: Any = lent.driver_connection
            try:
                async with driver.transaction() if transaction else nullcontext():
                    yield driver
            except (asyncpg.PostgresError, Vibe8Error):
                await greenlet_spawn(lent.close)
                raise
            except BaseException:  # cancelled or broken: nobody knows what the server does with the connection
                await greenlet_spawn(lent.invalidate)
                raise
            await greenlet_spawn(lent.close)

    async def ping(self) -> str:
        """Return the server's version. Raises ServiceUnavailableError."""
        async with self.unit_of_work() as connection:
            return str(await connection.scalar(text("SHOW server_version")))

    async def server_time(self) -> float:
        """Return the server's clock in seconds since 1970. Raises ServiceUnavailableError."""
        async with self.unit_of_work() as connection:
            return float(await connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8")))

    async def takes_writes(self) -> bool:
        """Return whether transactions may write; on a standby they may not. Raises ServiceUnavailableError."""
        async with self.unit_of_work() as connection:
            return bool(await connection.scalar(text("SHOW transaction_read_only")) == "off")

    def pool_usage(self) -> tuple[int, int]:
        """Return the number of pooled connections in use, and of idle ones."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)  # nosec B101 # noqa: S101 - `create_engine` uses no other pool
        return pool.checkedout(), pool.checkedin()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


@cache
def _driver_form(statement: TextClause) -> tuple[str, Sequence[str]]:
    """Return a statement with numbered parameters, as the driver takes it, and the names of its parameters in order."""
    compiled: Any = statement.compile(dialect=asyncpg_dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup)
