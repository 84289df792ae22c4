"""Shared buffers and time of the statements of a repository's call, by EXPLAIN (ANALYZE, BUFFERS)."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
"""How statements begin that have a plan; a driver also logs those of transactions."""


class Buffers:
    """Shared buffers and time of the statements of a call, by EXPLAIN: those of SQLAlchemy, and of its driver."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._recording: list[tuple[str, Any]] | None = None
        event.listen(engine.sync_engine, "before_cursor_execute", self._record)
        event.listen(engine.sync_engine.pool, "checkout", self._log_driver)

    def _record(self, _: Connection, __: Any, statement: str, values: Any, *___: Any) -> None:
        if self._recording is not None:
            self._recording.append((statement, values))

    def _log_driver(self, _: Any, record: ConnectionPoolEntry, __: Any) -> None:
        driver: Any = record.driver_connection
        driver.add_query_logger(self._record_driver)  # once for a connection: the loggers are a set

    def _record_driver(self, logged: Any) -> None:
        """Record a statement that went past SQLAlchemy, whose own are prepared and so not logged."""
        if self._recording is not None and logged.query.lstrip().startswith(PLANNED):
            self._recording.append((logged.query, logged.args))

    @contextmanager
    def recording(self) -> Iterator[list[tuple[str, Any]]]:
        """Record the statements that run in the block."""
        recorded: list[tuple[str, Any]] = []
        self._recording = recorded
        try:
            yield recorded
        finally:
            self._recording = None

    async def measure(self, call: Callable[[AsyncConnection], Awaitable[Any]]) -> tuple[int, float]:
        """Return the buffers and the milliseconds of the cheapest of three runs, each rolled back."""
        async with self._engine.connect() as connection:
            with self.recording() as statements:
                await call(connection)
            await connection.rollback()
        results = [await self.explain(statements) for _ in range(3)]
        return min(results)

    async def explain(self, statements: Sequence[tuple[str, Any]]) -> tuple[int, float]:
        """Return the buffers and the milliseconds of the statements, run again and rolled back."""
        buffers, milliseconds = 0, 0.0
        async with self._engine.connect() as connection:
            for statement, values in statements:
                document = await connection.exec_driver_sql(EXPLAIN + statement, tuple(values))
                ((plans,),) = document.all()
                plan = (json.loads(plans) if isinstance(plans, str) else plans)[0]
                buffers += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
                milliseconds += plan["Execution Time"]
            await connection.rollback()
        return buffers, milliseconds
