"""Requests that are malformed within their parts: each gets an answer that says what is wrong, never a 500."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.keys import USER_PERMISSIONS
from infrastructure.database.engine import Database
from tests.fixtures.jobs import complete_upload
from tests.fixtures.network.http_service import Tokens, http_client
from worker.client import Client
from worker.http import create_app

API = "/api/v1"
JSON_TYPE = {"Content-Type": "application/json"}
LISTS = (
    "jobs", "runs", "evaluations", "reports", "repositories/followed", "ops/jobs", "ops/audit",
    "ops/jobs?user=ann@example.org",
)  # fmt: skip
UNKNOWN = str(UUID(int=1))


def cursor(*parts: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.fixture
async def owner(client: Client, tokens: Tokens, user_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """The pages and the API as a user who is signed in, from a page of the service."""
    async with http_client(create_app(client, identify=tokens), tokens.add(user_id, USER_PERMISSIONS)) as http:
        http.headers["Origin"] = "http://localhost"
        yield http


MOMENTS = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "x")


async def test_cursors_with_times_that_postgresql_lacks_are_refused(ann_http: httpx.AsyncClient) -> None:
    for moment in MOMENTS:
        for path in LISTS:
            answer = await ann_http.get(f"{API}/{path}", params={"cursor": cursor(moment, UNKNOWN)})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), path


ODD_IDS = ("\ud800", "\ufffe", "x" * 200, "' OR '1'='1", "%", "../..")


async def test_cursors_with_odd_ids_have_an_answer(ann_http: httpx.AsyncClient) -> None:
    for item in ODD_IDS:
        for path in LISTS:
            answer = await ann_http.get(f"{API}/{path}", params={"cursor": cursor("2026-01-01T00:00:00+00:00", item)})
            assert answer.status_code in (200, 404, 422), path


NOT_FINITE = ("NaN", "Infinity", "-Infinity", "1e999")


async def test_numbers_that_are_not_finite_are_refused(ann_http: httpx.AsyncClient) -> None:
    for number in NOT_FINITE:
        for url in ("https://github.com/a/b", "\\ud800"):  # a lone surrogate changes the decoder
            text = f'{{"repository": {{"url": "{url}"}}, "options": {{"gate": {number}}}}}'
            answer = await ann_http.post(f"{API}/jobs", content=text, headers=JSON_TYPE)
            assert answer.status_code in (400, 422), answer.text


DEPTHS = (200, 300, 900, 1_100, 50_000)


async def test_deep_documents_are_refused(ann_http: httpx.AsyncClient) -> None:
    for depth in DEPTHS:
        deep = f'{{"gate": {"[" * depth}{"]" * depth}}}'
        as_json = f'{{"repository": {{"url": "https://github.com/a/b"}}, "options": {deep}}}'
        in_form: dict[str, Any] = {"files": {"file": ("a.py", b"x = 1")}, "data": {"options": deep}}
        for request in ({"content": as_json, "headers": JSON_TYPE}, in_form):
            answer = await ann_http.post(f"{API}/jobs", **request)
            assert answer.status_code in (400, 413, 422), answer.text


CHARSETS = ("punycode", "undefined", "idna", "unicode_escape", "utf-16", "utf-8; charset=hex")


async def test_forms_in_other_encodings_are_refused(ann_http: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    parts = [
        b'Content-Disposition: form-data; name="project_name"\r\n\r\nxn--\xff\\ud800',
        b'Content-Disposition: form-data; name="file"; filename="a.py"\r\n\r\nx = 1',
    ]
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    for charset in CHARSETS:
        headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
        answer = await ann_http.post(f"{API}/jobs", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "media_type"), charset
    assert await client.list_jobs(user_id) == []
    headers = {"Content-Type": 'multipart/form-data; charset="UTF-8"; boundary=b'}
    assert (await ann_http.post(f"{API}/jobs", content=body, headers=headers)).status_code == 202


async def test_forms_of_thousands_of_parts_and_of_large_heads_are_refused(ann_http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n'
    for body in (part * 5_000, file + b"X: " + b"a" * 4_000_000, file + b"X: a\r\n" * 100_000):
        answer = await ann_http.post(f"{API}/jobs", content=body + b"\r\n--b--\r\n", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


ENDS = ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")


async def test_ends_that_no_calendar_has_are_refused(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    for moment in ENDS:
        run = str(await complete_upload(client, database, user_id))
        for path, document in (("keys", {"name": "k", "permissions": ["read"]}), ("reports", {"run_id": run})):
            answer = await ann_http.post(f"{API}/{path}", json={**document, "expires_at": moment})
            assert answer.status_code == 422, path
            assert answer.json()["errors"][0]["field"] == "body.expires_at"


NUMBERS = ("00000000019999999999", "0000000001" + "9" * 5_000, "1" * 5_000, "-1", "\u0661")


async def test_numbers_of_forms_are_bounded(
    owner: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    for number in NUMBERS:
        run = await complete_upload(client, database, user_id)
        for field in ("days", "views"):
            assert (await owner.post(f"/runs/{run}/share", data={field: number})).status_code == 422, field
        assert await client.reports.list(user_id) == []


METHODS = ("TRACE", "OPTIONS", "CONNECT", "FOO", "DELETE")


async def test_other_methods_are_named_and_not_followed(ann_http: httpx.AsyncClient) -> None:
    for method in METHODS:
        answer = await ann_http.request(method, f"{API}/jobs", headers={"X-Secret": "abc"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert "abc" not in answer.text


async def test_no_header_and_no_field_changes_the_method(
    owner: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    run = await complete_upload(client, database, user_id)
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    answer = await owner.get(f"{API}/runs/{run}", headers=dict.fromkeys(names, "DELETE"), params={"_method": "DELETE"})
    assert answer.status_code == 200
    assert (await owner.post(f"{API}/runs/{run}", data={"_method": "DELETE"})).status_code == 405
    assert (await owner.get(f"{API}/runs/{run}")).status_code == 200


async def test_addresses_in_headers_of_a_proxy_change_no_page(
    owner: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    run = await complete_upload(client, database, user_id)
    report = await client.reports.create(user_id, run)
    forged = {
        **dict.fromkeys(("X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL"), "evil.example"),
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/evil.example",
        "Forwarded": "host=evil.example",
    }
    for path in ("/", f"/runs/{run}", "/shares", f"/r/{report.code}", f"/badge/{report.code}.svg", "/sign-in"):
        plain, other = await owner.get(path), await owner.get(path, headers=forged)
        assert other.text == plain.text, path
        assert plain.headers["cache-control"] == ("no-cache" if "/badge/" in path else "no-store"), path
    whole = await owner.get(f"{API}/runs/{run}", headers=forged)
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["vary"] == "Authorization, Cookie"
    stranger = {"Authorization": "Bearer none", "If-None-Match": whole.headers["etag"]}
    assert (await owner.get(f"{API}/runs/{run}", headers=stranger)).status_code == 401
    made = await owner.post("/submit", data={"url": "https://github.com/a/b"}, headers=forged)
    assert made.headers["location"].startswith("/jobs/")
