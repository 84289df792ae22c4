"""Shared reports and badges over HTTP: who may read them, what counts as a view, and what every answer says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from domain.reports import SharedReport
from infrastructure.database.engine import Database
from tests.fixtures.jobs import complete_upload
from tests.fixtures.network.http_service import Tokens, http_client
from worker.client import Client
from worker.http import create_app

UNKNOWN = "/r/" + "A" * 22


@pytest.fixture
async def reader(client: Client, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that nobody has signed in."""
    async with http_client(create_app(client, identify=tokens)) as http:
        http.headers.update({"Origin": "http://localhost", "Accept": "text/html", "User-Agent": "Mozilla/5.0"})
        yield http


@pytest.fixture
async def run_id(client: Client, database: Database, user_id: UUID) -> UUID:
    return await complete_upload(client, database, user_id)


async def views(client: Client, user_id: UUID, report: SharedReport) -> int:
    return (await client.reports.get(user_id, report.code)).view_count


async def test_anyone_with_the_code_reads_the_report(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID
) -> None:
    report = await client.reports.create(user_id, run_id)
    answer = await reader.get(f"/r/{report.code}")
    assert answer.status_code == 200
    assert "<h1" in answer.text
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["cache-control"] == "no-store"
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert await views(client, user_id, report) == 1


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}),
        ("GET", {"User-Agent": "facebookexternalhit/1.1"}),
    ],
)
async def test_what_nobody_reads_is_no_view(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID, method: str, headers: dict[str, str]
) -> None:
    report = await client.reports.create(user_id, run_id, max_views=1)
    assert (await reader.request(method, f"/r/{report.code}", headers=headers)).status_code == 200
    assert await views(client, user_id, report) == 0
    assert (await reader.get(f"/r/{report.code}")).status_code == 200
    used_up = await reader.get(f"/r/{report.code}")
    assert (used_up.status_code, "seen as often as it may" in used_up.text) == (410, True)


async def test_codes_that_show_nothing_are_answered_alike(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID
) -> None:
    withdrawn = await client.reports.create(user_id, run_id)
    await client.reports.withdraw(user_id, withdrawn.code)
    of_deleted_run = await client.reports.create(user_id, run_id)
    await client.delete_run(user_id, run_id)
    answers = [
        await reader.get(path)
        for path in (UNKNOWN, f"/r/{withdrawn.code}", f"/r/{of_deleted_run.code}", "/r/x", "/r/" + "é" * 22, "/r/%00")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


async def test_an_expired_report_is_gone(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID, database: Database
) -> None:
    report = await client.reports.create(user_id, run_id, expires_at=datetime.now(UTC) + timedelta(hours=1))
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE reports SET expires_at = now() - interval '1 second'"))
    answer = await reader.get(f"/r/{report.code}")
    assert (answer.status_code, "has expired" in answer.text) == (410, True)


async def test_a_password_is_asked_for_and_guessing_is_stopped(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID
) -> None:
    report = await client.reports.create(user_id, run_id, password="correct horse")
    path = f"/r/{report.code}"
    asked = await reader.get(path)
    assert (asked.status_code, 'type="password"' in asked.text) == (401, True)
    right = await reader.post(path, data={"password": "correct horse"})
    assert (right.status_code, "<h1" in right.text) == (200, True)
    long = await reader.post(path, data={"password": "x" * 5_000})
    assert long.status_code == 401
    for _ in range(5):
        assert (await reader.post(path, data={"password": "wrong"})).status_code in (401, 429)
    stopped = await reader.post(path, data={"password": "correct horse"})
    assert stopped.status_code == 429
    assert int(stopped.headers["retry-after"]) > 0
    assert await views(client, user_id, report) == 1


async def test_badges_are_always_there_and_never_stale(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID
) -> None:
    report = await client.reports.create(user_id, run_id)
    for code in (report.code, "A" * 22, "odd"):
        svg, as_json = await reader.get(f"/badge/{code}.svg"), await reader.get(f"/badge/{code}.json")
        assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml")
        assert as_json.json()["schemaVersion"] == 1
        assert svg.headers["cache-control"] == "no-cache"
        assert svg.headers["cross-origin-resource-policy"] == "cross-origin"
        again = await reader.get(f"/badge/{code}.svg", headers={"If-None-Match": svg.headers["etag"]})
        assert again.status_code == 304
    assert (await reader.get(f"/badge/{report.code}.png")).status_code == 404
    assert await views(client, user_id, report) == 0


async def test_owners_share_and_withdraw_by_forms(
    reader: httpx.AsyncClient, client: Client, user_id: UUID, run_id: UUID
) -> None:
    session = await client.sessions.begin_by_link(await client.sessions.create_link(user_id))
    owner = {"Cookie": f"vibe8_session={session.text}"}
    bob = await client.get_or_create_user("bob@example.org")
    stranger_session = await client.sessions.begin_by_link(await client.sessions.create_link(bob))
    stranger = {"Cookie": f"vibe8_session={stranger_session.text}"}
    form = {"days": "30", "views": "", "password": ""}
    assert (await reader.post(f"/runs/{run_id}/share", data=form, headers=stranger)).status_code == 404
    bad = await reader.post(f"/runs/{run_id}/share", data={**form, "days": "-1"}, headers=owner)
    assert (bad.status_code, "must be 1 to 3650" in bad.text) == (422, True)
    made = await reader.post(f"/runs/{run_id}/share", data=form, headers=owner)
    assert (made.status_code, made.headers["location"]) == (303, "/shares")
    (report,) = await client.reports.list(user_id)
    assert report.code in (await reader.get("/shares", headers=owner)).text
    assert report.code not in (await reader.get("/shares", headers=stranger)).text
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/shares/{report.code}/withdraw"
    assert (await reader.post(path, content=b"", headers={**stranger, **typed})).status_code == 404
    assert (await reader.get(f"/r/{report.code}")).status_code == 200
    assert (await reader.post(path, content=b"", headers={**owner, **typed})).status_code == 303
    assert (await reader.get(f"/r/{report.code}")).status_code == 404
