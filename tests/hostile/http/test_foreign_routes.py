"""Every route and method that names a thing: another user's is answered as an unknown one, and stays as it is."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from domain.keys import USER_PERMISSIONS
from domain.reports import CODE_LENGTH
from infrastructure.database.engine import Database
from tests.fixtures.network.http_service import Tokens, http_client
from tests.hostile.owners.subjects import QUERIES, SUBJECTS
from tests.hostile.owners.world import World
from worker.client import Client
from worker.http import create_app
from worker.http.api.routes import api_routes
from worker.http.pages.routes import page_routes

PUBLIC = {
    "/sign-in/{secret}",  # who has these may see what they open
    "/r/{code}",
    "/badge/{name}",
    "/static/{name}",
}
KINDS = {
    "job_id": "jobs",
    "run_id": "runs",
    "key_id": "keys",
    "repository_id": "repositories",
    "evaluation_id": "evaluations",
    "code": "reports",
    "name:path": "runs",
}
ROUTES = [
    (method, route.path)
    for route in (*api_routes(), *page_routes())
    if isinstance(route, APIRoute) and "{" in route.path and route.path not in PUBLIC
    for method in sorted(route.methods or ())
]
BODIES: dict[str, Any] = {"tags": {"tags": {"a": ["b"]}}, "follow": {"when": "never"}, "": {}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def ask(http: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    named = {"X-Request-Id": "0" * 32, "Origin": "http://localhost"}
    if method == "GET":
        return await http.get(path, params={"format": "csv"}, headers=named)
    if not path.startswith("/api/"):
        return await http.request(method, path, content=b"", headers={**named, **FORM})
    end = path.rpartition("/")[2]
    return await http.request(method, path, json=BODIES.get(end, {}), headers=named)


def path_of(template: str, things: Mapping[str, object]) -> str:
    """Return the path of a route about these things."""
    return re.sub(
        r"\{([^}]+)\}", lambda match: str(things[KINDS[match[1]]]) if match[1] in KINDS else "cancel", template
    )


def test_every_parameter_of_a_path_is_known_here() -> None:
    names = {name for _, path in ROUTES for name in re.findall(r"\{([^}]+)\}", path)}
    assert names == {*KINDS, "act", "delivery_id", "notice_id"}, "the last three are in routes for operators alone"
    assert len(ROUTES) > 40


async def test_what_is_anothers_is_answered_as_what_is_not_there(
    client: Client, database: Database, tokens: Tokens
) -> None:
    world = World(client=client, database=database, queries=QUERIES)
    await world.create_users()
    ann, bob = world.users
    theirs = {kind: await SUBJECTS[kind].make(world, ann) for kind in set(KINDS.values())}
    unknown = {**dict.fromkeys(theirs, uuid.uuid4()), "jobs": uuid.uuid4().hex, "reports": "x" * CODE_LENGTH}
    before = await world.rows_of(ann)
    async with http_client(create_app(client, identify=tokens), tokens.add(bob, USER_PERMISSIONS)) as http:
        for method, path in ROUTES:
            answers = [await ask(http, method, path_of(path, things)) for things in (theirs, unknown)]
            assert answers[0].status_code in ((403,) if "/ops/" in path else (404,)), (method, path, answers[0].text)
            assert answers[0].content == answers[1].content, (method, path)
            assert answers[0].headers == answers[1].headers, (method, path)
    assert await world.rows_of(ann) == before


async def test_no_route_answers_without_credentials(client: Client, tokens: Tokens) -> None:
    async with http_client(create_app(client, identify=tokens)) as http:
        with capture_logs() as log:
            for method, path in ROUTES:
                answer = await ask(http, method, re.sub(r"\{[^}]+\}", str(uuid.uuid4()), path))
                expected = 404 if "/hooks/" in path else 401 if path.startswith("/api/") else 303
                assert answer.status_code == expected, (method, path)
                assert expected != 303 or answer.headers["location"].startswith("/sign-in?next="), path
    assert [entry for entry in log if entry["log_level"] in ("warning", "error")] == []
