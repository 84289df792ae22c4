"""Tracked repositories, their hooks, evaluations and tags over HTTP."""

import hashlib
import hmac
import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from tests.fixtures.network.http_service import Tokens, http_client
from worker.client import Client
from worker.http import create_app

API = "/api/v1"
URL = "https://github.com/owner/repo"


async def tracked(http: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await http.post(f"{API}/repositories", json={"url": URL, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{API}/repositories/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


async def test_a_repository_is_tracked_changed_checked_and_removed(ann_http: httpx.AsyncClient) -> None:
    made = await tracked(
        ann_http, schedule="daily", tags={"Team": ["Web"]}, token="s3cret", settings={"exclude": ["a"]}
    )
    path = f"{API}/repositories/{made['id']}"
    assert (made["tags"], made["has_token"]) == ({"team": ["web"]}, True)
    assert "s3cret" not in json.dumps(made)
    assert (await ann_http.get(path)).json()["statistics"]["runs"] == 0
    changed = await ann_http.patch(path, json={"schedule": "", "description": "x"})
    assert (changed.json()["schedule"], changed.json()["description"]) == (None, "x")
    assert (await ann_http.post(f"{path}/check")).json()["check_pending"] is True
    follow = await ann_http.put(f"{path}/follow", json={"when": "never"})
    assert follow.json()["notification_settings"] == {"when": "never"}
    assert len((await ann_http.get(f"{API}/repositories/followed")).json()["follows"]) == 1
    assert (await ann_http.delete(f"{path}/follow")).status_code == 204
    assert (await ann_http.get(f"{API}/repositories/trending")).status_code == 200
    assert (await ann_http.post(f"{API}/repositories", json={"url": URL})).status_code == 422
    assert (await ann_http.delete(path)).status_code == 204
    assert (await ann_http.get(path)).status_code == 404


async def test_repositories_are_listed_page_by_page(ann_http: httpx.AsyncClient) -> None:
    urls = [f"https://github.com/owner/{name}" for name in ("a", "b", "c")]
    for url in urls:
        await ann_http.post(f"{API}/repositories", json={"url": url})
    first = (await ann_http.get(f"{API}/repositories", params={"limit": 2})).json()
    second = (await ann_http.get(f"{API}/repositories", params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["clone_url"] for each in (*first["repositories"], *second["repositories"])] == urls
    assert second["next"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/check"), ("POST", "/hook-secret"), ("PUT", "/follow"),
        ("DELETE", "/follow"),
    ],
)  # fmt: skip
async def test_foreign_and_unknown_repositories_are_answered_alike(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient, method: str, path: str
) -> None:
    theirs = (await tracked(ann_http))["id"]
    before = (await ann_http.get(f"{API}/repositories/{theirs}")).json()
    named = {"X-Request-Id": "0" * 32}
    body: dict[str, str] | None = {} if method in ("PATCH", "PUT") else None
    answers = [
        await bob_http.request(method, f"{API}/repositories/{each}{path}", headers=named, json=body)
        for each in (theirs, UUID(int=7), "no id")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert (await ann_http.get(f"{API}/repositories/{theirs}")).json() == before


async def test_a_push_hook_needs_its_signature_and_no_key(ann_http: httpx.AsyncClient) -> None:
    made = await tracked(ann_http)
    granted = (await ann_http.post(f"{API}/repositories/{made['id']}/hook-secret")).json()
    body = json.dumps({"ref": "refs/heads/main", "pad": "a" * 1_500_000}).encode()
    signature = "sha256=" + hmac.digest(granted["secret"].encode(), body, hashlib.sha256).hex()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature, "Authorization": ""}
    answers = [await ann_http.post(granted["path"], content=body, headers=headers) for _ in range(2)]
    assert [(each.status_code, each.json()["outcome"]) for each in answers] == [(202, "checking"), (202, "repeated")]
    named = {"X-Request-Id": "0" * 32}
    wrong = [
        await ann_http.post(path, content=content, headers={**headers, **named})
        for path, content in (
            (granted["path"], body + b" "),
            (f"{API}/hooks/{UUID(int=7)}", body),
            (f"{API}/hooks/no-id", body),
        )
    ]
    assert {each.status_code for each in wrong} == {404}
    assert len({each.content for each in wrong}) == 1
    too_large = await ann_http.post(granted["path"], content=bytes((5 << 20) + 1), headers=headers)
    assert too_large.status_code == 413


async def test_an_evaluation_is_submitted_read_cancelled_and_deleted(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient
) -> None:
    items = [
        {"repository": {"url": f"{URL}-{n}"}, "author_type": kind, "author_model": "m" if kind == "ai" else ""}
        for n, kind in enumerate(("human", "ai"))
    ]
    made = await ann_http.post(f"{API}/evaluations", json={"name": "todo", "items": items})
    assert made.status_code == 202, made.text
    path = made.headers["location"]
    assert (await ann_http.get(path)).json() == made.json()
    (listed,) = (await ann_http.get(f"{API}/evaluations")).json()["evaluations"]
    assert listed == {key: value for key, value in made.json().items() if key != "members"}
    assert (await ann_http.get(f"{path}/results")).json()["code"] == "conflict"
    assert (await ann_http.delete(path)).status_code == 409
    for method, end in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        assert (await bob_http.request(method, path + end)).status_code == 404
    cancelled = await ann_http.post(f"{path}/cancel")
    assert {member["state"] for member in cancelled.json()["members"]} == {"cancelled"}, cancelled.text
    assert (await ann_http.delete(path)).status_code == 204


async def test_runs_are_found_by_their_tags(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient, user_id: UUID, database: Database
) -> None:
    run = new_run(user_id)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    path = f"{API}/runs/{run.run_id}/tags"
    tagged = await ann_http.put(path, json={"tags": {"Domain": ["Web"]}})
    assert tagged.json() == {"run_id": str(run.run_id), "tags": {"domain": ["web"]}}
    assert len((await ann_http.get(f"{API}/runs", params={"tag": "domain=web"})).json()["runs"]) == 1
    assert (await ann_http.get(f"{API}/runs", params={"tag": ["domain=web", "domain=cli"]})).json()["runs"] == []
    assert (await ann_http.get(f"{API}/runs", params={"tag": "nonsense"})).status_code == 422
    assert (await bob_http.put(path, json={"tags": {}})).status_code == 404


async def test_a_report_is_shared_read_and_withdrawn_by_its_owner(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient, user_id: UUID, database: Database
) -> None:
    run = new_run(user_id)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    wanted = {"run_id": str(run.run_id), "password": "open sesame", "max_views": 3}
    made = await ann_http.post(f"{API}/reports", json=wanted)
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    assert (await ann_http.get(path)).json() == made.json()
    assert "sesame" not in made.text
    first = (await ann_http.get(f"{API}/reports", params={"limit": 1})).json()
    assert first["reports"] == [made.json()]
    rest = await ann_http.get(f"{API}/reports", params={"cursor": first["next"]})
    assert rest.json() == {"reports": [], "next": None}
    assert (await bob_http.post(f"{API}/reports", json=wanted)).status_code == 404
    for method in ("GET", "DELETE"):
        assert (await bob_http.request(method, path)).status_code == 404
    assert (await ann_http.delete(path)).json()["state"] == "withdrawn"


async def test_addresses_of_what_was_made_begin_where_the_application_is_mounted(
    client: Client, user_id: UUID, tokens: Tokens
) -> None:
    app = Starlette(routes=[Mount("/analysis", create_app(client, identify=tokens))])
    items = [{"repository": {"url": f"{URL}-{name}"}, "author_type": "ai", "author_model": name} for name in ("a", "b")]
    async with http_client(app, tokens.add(user_id)) as http:
        for path, body in (
            ("/repositories", {"url": URL}),
            ("/evaluations", {"name": "x", "items": items}),
            ("/jobs", {"repository": {"url": URL}}),
        ):
            made = await http.post(f"/analysis{API}{path}", json=body)
            assert made.is_success, made.text
            assert made.headers["location"].startswith(f"/analysis{API}{path}/"), made.text
            assert (await http.get(made.headers["location"])).status_code == 200
