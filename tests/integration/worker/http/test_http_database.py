"""Connections of `vibe8 serve` to PostgreSQL, and the bare routes that `make bench-http` compares it with."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from benchmarks.http import seeds
from benchmarks.http.bare import Access, Statement, bare_app
from benchmarks.http.recording import record
from infrastructure.database.engine import Database
from tests.fixtures.network.http_service import RunningService, new_key
from tests.fixtures.worker_process import System
from worker.client import Client

_BACKENDS = text("SELECT pid FROM pg_stat_activity WHERE application_name = 'vibe8-client'")


async def backends(database: Database) -> set[int]:
    return {row["pid"] for row in await database.fetch(_BACKENDS, {})}


@pytest.mark.settings(DB_POOL_SIZE="2", DB_MAX_OVERFLOW="6")
async def test_requests_at_once_open_connections_only_once(
    system: System, service: RunningService, client: Client, database: Database
) -> None:
    key = await new_key(client, await client.get_or_create_user("ann@example.org"))

    async def burst(http: httpx.AsyncClient) -> set[int]:
        answers = await asyncio.gather(*(http.get("/api/v1/jobs") for _ in range(60)))
        assert {answer.status_code for answer in answers} == {200}
        return await backends(database)

    async with service.client(key) as http:
        first = await burst(http)
        assert len(first) > 2, "they had to share two connections"
        assert await burst(http) >= first, "connections were closed and opened again"


@pytest.fixture
async def routes(system: System, database: Database, monkeypatch: pytest.MonkeyPatch) -> Sequence[seeds.Route]:
    monkeypatch.setattr(seeds, "JOBS", 1_000)
    return await seeds.seed(system.settings)


async def answers(app: FastAPI, routes: Sequence[seeds.Route]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://a") as http:
        return [await http.get(route.path) for route in routes]


async def test_bare_routes_of_the_benchmark_send_the_statements_of_the_service(
    system: System, routes: Sequence[seeds.Route], database_url: str
) -> None:
    statements: Mapping[str, Sequence[Statement]] = await record(system.settings, routes)
    tables = [[re.findall(r"FROM (\w+)", sql)[0] for sql, _ in each] for each in statements.values()]
    assert tables == [["api_keys", "jobs"], ["api_keys", "jobs"], ["sessions", "analysis_runs", "jobs"]]
    for access in Access:
        poll, page, home = [
            answer.json() for answer in await answers(bare_app(database_url, statements, access), routes)
        ]
        assert poll[1][0]["job_id"] == routes[0].path.rpartition("/")[2]
        assert len(page[1]) == 1_000 // seeds.USERS
        assert [len(rows) for rows in home] == [1, 40, 10]
