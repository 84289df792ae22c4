"""FastAPI routes that send the service's own statements to PostgreSQL, and do nothing else: what it is compared with.

No Redis, no rate limit, no permissions, no limits of a body, no headers, log entry or metrics. Rows become JSON as they
are, also where the service renders a page.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

POOL_SIZE = 15
"""As many connections as a replica of the service has at most."""

Statement = tuple[str, tuple[Any, ...]]
"""A statement as the driver takes it, and its parameters."""

Fetch = Callable[[str, tuple[Any, ...]], Awaitable[Sequence[Mapping[str, Any]]]]
"""Runs one statement, and returns its rows."""


class Access(StrEnum):
    """How a bare application reaches PostgreSQL. The driver is asyncpg either way, and no transaction is begun."""

    SQLALCHEMY = "SQLAlchemy"
    DRIVER = "asyncpg alone"


@asynccontextmanager
async def _by_sqlalchemy(database_url: str) -> AsyncIterator[Fetch]:
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        url, pool_size=POOL_SIZE, max_overflow=0, isolation_level="AUTOCOMMIT", json_deserializer=orjson.loads
    )

    async def fetch(text: str, parameters: tuple[Any, ...]) -> Sequence[Mapping[str, Any]]:
        async with engine.connect() as connection:
            return [dict(row) for row in (await connection.exec_driver_sql(text, parameters)).mappings()]

    yield fetch
    await engine.dispose()


async def _decode_json(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)


async def _keep_session(_: object) -> None:
    """In place of asyncpg's own reset, which is one more statement with each use of a connection."""


@asynccontextmanager
async def _by_driver(database_url: str) -> AsyncIterator[Fetch]:
    async with asyncpg.create_pool(
        database_url, min_size=POOL_SIZE, max_size=POOL_SIZE, reset=_keep_session, init=_decode_json
    ) as pool:

        async def fetch(text: str, parameters: tuple[Any, ...]) -> Sequence[Mapping[str, Any]]:
            return [dict(row) for row in await pool.fetch(text, *parameters)]

        yield fetch


_OPEN: Mapping[Access, Callable[[str], AbstractAsyncContextManager[Fetch]]] = {
    Access.SQLALCHEMY: _by_sqlalchemy,
    Access.DRIVER: _by_driver,
}


def bare_app(database_url: str, routes: Mapping[str, Sequence[Statement]], access: Access) -> FastAPI:
    """Return an application with a route for each path, which runs its statements and answers with their rows."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        async with _OPEN[access](database_url) as app.state.fetch:
            yield

    app = FastAPI(lifespan=opened, openapi_url=None)
    for path, statements in routes.items():
        app.add_api_route(path, _route(statements))
    return app


def _route(statements: Sequence[Statement]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        fetch: Fetch = request.app.state.fetch
        found = [await fetch(text, parameters) for text, parameters in statements]
        return Response(orjson.dumps(found, default=str), media_type="application/json")

    return answer


def serve_bare(port: int, database_url: str, routes: Mapping[str, Sequence[Statement]], access: Access) -> None:
    """Serve these routes on 127.0.0.1 until SIGTERM, with the loop and the HTTP library of the service."""
    app = bare_app(database_url, routes, access)
    uvicorn.run(app, port=port, loop="uvloop", http="h11", access_log=False, log_level="warning")
