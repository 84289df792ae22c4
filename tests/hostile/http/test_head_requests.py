"""HEAD at every page and call: the status and headers of a GET, no body, and no stream that stays open."""

import asyncio
import uuid
from functools import reduce
from uuid import UUID

import httpx
from fastapi.routing import APIRoute

from infrastructure.database.engine import Database
from tests.fixtures.network.http_service import RunningService, Tokens, http_client, new_key
from tests.hostile.http.test_foreign_routes import path_of
from tests.hostile.owners.subjects import QUERIES, SUBJECTS
from tests.hostile.owners.world import World
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http import create_app
from worker.http.api.jobs.events import EVENT_STREAM
from worker.http.api.routes import api_routes
from worker.http.pages.routes import page_routes

EVENTS = "/api/v1/jobs/{job_id}/events"
PATHS = sorted(
    {
        route.path
        for route in (*api_routes(), *page_routes())
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.path != EVENTS
    }
)
NAMED = {"X-Request-Id": "0" * 32, "Accept": "text/html"}
OTHERS = {"{delivery_id}": str(uuid.uuid4()), "{secret}": "x" * 43, "{name}": "x", "{name:path}": "x"}


async def ask(http: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await http.request(method, path, params={"format": "csv"} if "export" in path else {}, headers=NAMED)


async def test_head_has_the_headers_of_get_everywhere(client: Client, database: Database, tokens: Tokens) -> None:
    world = World(client=client, database=database, queries=QUERIES)
    await world.create_users()
    ann = world.users[0]
    things = {kind: await subject.make(world, ann) for kind, subject in SUBJECTS.items()}
    operator = OperatorClient(client._connections, client._settings)
    statuses = {}
    paths = [path_of(reduce(lambda path, odd: path.replace(*odd), OTHERS.items(), each), things) for each in PATHS]
    async with http_client(create_app(client, identify=tokens, operator=operator), tokens.add(ann)) as http:
        for path in paths:
            got, head = await ask(http, "GET", path), await ask(http, "HEAD", path)
            statuses[path] = got.status_code
            assert head.content == b"", path
            assert head.status_code == got.status_code, path
            assert {**head.headers, "content-length": ""} == {**got.headers, "content-length": ""}, path
            known = int(head.headers["content-length"]), len(got.content)
            assert known[0] == known[1] or "/ops" in path, path  # which shows ages
    assert list(statuses.values()).count(200) > 40, statuses


async def test_head_changes_nothing_and_finds_what_is_unchanged(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    whole = await ann_http.get("/api/v1/openapi.json")
    known = {"If-None-Match": whole.headers["etag"]}
    assert (await ann_http.head("/api/v1/openapi.json", headers=known)).status_code == 304
    refused = await ann_http.head(f"/api/v1/jobs/{'f' * 32}/retry")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await ann_http.head("/nowhere")).status_code == 404
    assert await client.list_jobs(user_id) == []


async def test_head_holds_no_event_stream_open(service: RunningService, client: Client, user_id: UUID) -> None:
    key = await new_key(client, user_id)
    job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    path = EVENTS.replace("{job_id}", job.job_id)
    host, _, port = service.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    asked = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    async with asyncio.timeout(30):
        for _ in range(20):  # more than a user may have open
            writer.write(f"{asked}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            assert f"content-type: {EVENT_STREAM}".encode() in head
        writer.write(f"{asked.replace('HEAD', 'GET', 1)}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"event: job")
    writer.close()
    await service.process.stop()
    assert not [entry for entry in service.process.log() if entry["level"] == "error"]
