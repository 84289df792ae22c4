"""The statements that the service sends for one request, as the driver gets them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Pool, event

from benchmarks.http.bare import Statement
from benchmarks.http.seeds import Route
from infrastructure.settings import Settings
from worker.client import Client
from worker.http import HttpOptions, create_app
from worker.http.identity import BearerKeys

LOG_SECONDS = 0.1
"""The driver writes its log a little after a statement."""

_TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK")


async def record(settings: Settings, routes: Sequence[Route]) -> Mapping[str, Sequence[Statement]]:
    """Return the statements of each route, by its template: those of a second request, as the first one writes."""
    with _logged_statements() as sent:
        return await _record(settings, routes, sent)


async def _record(
    settings: Settings, routes: Sequence[Route], sent: list[Statement]
) -> Mapping[str, Sequence[Statement]]:
    async with Client.open(settings) as client:
        app = create_app(client, identify=BearerKeys(client, HttpOptions()))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return {route.template: await _statements(http, route, sent) for route in routes}


async def _statements(http: httpx.AsyncClient, route: Route, sent: list[Statement]) -> Sequence[Statement]:
    for _ in range(2):
        sent.clear()
        answer = await http.get(route.path, headers=dict(route.headers))
        await asyncio.sleep(LOG_SECONDS)
        if answer.status_code != 200:
            raise SystemExit(f"{route.path} is answered {answer.status_code}: {answer.text[:500]}")
    return [(text, parameters) for text, parameters in sent if not text.startswith(_TRANSACTION)]


@contextmanager
def _logged_statements() -> Iterator[list[Statement]]:
    """Yield a list that grows by each statement that a driver's connection sends which is opened within the block."""
    sent: list[Statement] = []

    def listen(connection: Any, _record: object) -> None:
        connection.driver_connection.add_query_logger(lambda query: sent.append((query.query, tuple(query.args or ()))))

    event.listen(Pool, "connect", listen)
    try:
        yield sent
    finally:
        event.remove(Pool, "connect", listen)
