"""Pages of tracked repositories over HTTP: lists, forms, permissions, other users' ids, hostile texts."""

import json
import re
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from domain.keys import Permission
from domain.runs import RunOrigin
from domain.tracking.follows import FollowSettings
from domain.tracking.settings import RepositorySettings
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from tests.integration.worker.http.conftest import FORM, HOSTILE, sign_in
from worker.client import Client, RepositoryChanges, repository_settings_from_json

URL = "https://github.com/owner/repo"
pytestmark = pytest.mark.settings(WEBHOOK_SECRETS="x" * 32)


async def add_run(database: Database, user_id: UUID, **changes: Any) -> UUID:
    """Store a run of the repository with a score and a verdict, as its check would have made it."""
    origin = RunOrigin(submission_type="github", git_repo_url=URL, git_branch="main")
    run = replace(new_run(user_id), origin=origin)
    values = {"quality_score": 79.5, "review_verdict": "REJECTED", **changes}
    columns = ", ".join(f"{name} = :{name}" for name in values)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
        await work.execute(text(f"UPDATE analysis_runs SET {columns} WHERE run_id = :id"), {**values, "id": run.run_id})  # noqa: S608
    return run.run_id


async def test_a_repository_is_tracked_by_a_form_and_listed_with_its_newest_run(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id)
    assert "No repository is tracked yet" in (await browser.get("/repositories")).text
    form = {"url": URL, "schedule": "hourly", "branches": "main dev", "token": "s3cret"}
    answer = await browser.post("/repositories", data=form)
    (added,) = await client.repositories.list(user_id)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/repositories/{added.repository_id}")
    assert (added.schedule, added.settings["branches"], added.has_token) == ("hourly", ["main", "dev"], True)
    run_id = await add_run(database, user_id)
    listed = (await browser.get("/repositories")).text
    for words in (f'href="/runs/{run_id}"', "79.5", "rejected", "nothing found yet", "being checked", "owner/repo"):
        assert words in listed, words
    shown = (await browser.get(answer.headers["location"])).text
    for words in (f'href="/projects/{run_id}"', "hourly", "Remove the stored token", "main\ndev</textarea>"):
        assert words in shown, words
    assert "s3cret" not in listed + shown


async def test_only_repositories_in_a_state_are_listed_and_pages_follow(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id)
    for number in range(52):
        await client.repositories.add(user_id, url=f"{URL}{number:02}")
    first = (await browser.get("/repositories")).text
    assert "repo49" in first
    assert "repo50" not in first
    (path,) = re.findall(r'href="(/repositories\?state=&amp;cursor=[^"]+)"', first)
    second = (await browser.get(path.replace("&amp;", "&"))).text
    assert "repo50" in second
    assert "repo49" not in second
    assert "cursor=" not in second
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE repositories SET analysis_status = 'failed' WHERE url LIKE '%07'"))
    failed = (await browser.get("/repositories?state=failed")).text
    assert re.findall(r"owner/repo\d\d", failed) == ["owner/repo07"]
    assert (await browser.get("/repositories?state=odd")).status_code == 200
    assert (await browser.get("/repositories?cursor=odd!")).status_code == 422


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://github.com/a/b"}, "must start with https://"),
        ({"url": "https://evil.example/a/b"}, "not allowed"),
        ({"url": f"https://github.com/a/{HOSTILE}"}, "the repository URL"),
        ({"schedule": "often"}, "write five fields"),
        ({"branches": "-x"}, "branch"),
        ({"branches": f"-{HOSTILE}"}, "branch"),
    ],
)
async def test_a_form_that_is_refused_keeps_what_was_entered_but_no_secret(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, changes: dict[str, str], words: str
) -> None:
    await sign_in(browser, client, user_id)
    form = {"url": URL, "schedule": "weekly", "branches": "", "token": "s3cret", **changes}
    answer = await browser.post("/repositories", data=form)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert words in answer.text
    assert f'value="{form["schedule"]}"' in answer.text
    for never in ("s3cret", "<script>alert", "\u202e"):
        assert never not in answer.text
    assert await client.repositories.list(user_id) == []


async def test_a_plan_that_is_used_up_is_named(browser: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    await sign_in(browser, client, user_id)
    for number in range(100):
        await client.repositories.add(user_id, url=f"{URL}{number}")
    answer = await browser.post("/repositories", data={"url": URL})
    assert answer.status_code == 429
    assert "you already track 100 repositories (limit 100, plan free); remove one first" in answer.text


async def test_settings_are_changed_by_a_form_and_what_it_lacks_stays(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    gate = {"conditions": [{"kind": "new_findings", "max": 0}]}
    settings = repository_settings_from_json({"gate": gate, "branches": ["old"], "public": True})
    added = await client.repositories.add(user_id, url=URL, settings=settings, token="s3cret", schedule="daily")
    path = f"/repositories/{added.repository_id}"
    form = {
        "schedule": "", "branches": "main\r\n\r\ndev", "exclude": "docs/*\r\na b/*", "notify_url": "",
        "description": "two\r\nlines", "tags": "domain=web\r\ndomain=cli", "token": "",
    }  # fmt: skip
    answer = await browser.post(path, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    changed = await client.repositories.get(user_id, added.repository_id)
    assert (changed.schedule, changed.is_public, changed.has_token) == (None, False, True)
    assert (changed.settings["branches"], changed.settings["exclude"]) == (["main", "dev"], ["a b/*", "docs/*"])
    assert changed.settings["gate"] == added.settings["gate"]
    assert changed.tags == {"domain": ["cli", "web"]}
    await browser.post(path, data={**form, "token_removed": "yes", "public": "yes"})
    changed = await client.repositories.get(user_id, added.repository_id)
    assert (changed.is_public, changed.has_token) == (True, False)
    refused = await browser.post(path, data={**form, "schedule": "often", "exclude": "kept/*", "token": "s3cret"})
    assert (refused.status_code, "kept/*" in refused.text, "s3cret" in refused.text) == (422, True, False)
    assert 'name="public" value="yes">' in refused.text, "the box was not ticked"
    assert await client.repositories.get(user_id, added.repository_id) == changed


async def test_a_repository_is_checked_followed_and_removed(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id)
    added = await client.repositories.add(user_id, url=URL)
    path = f"/repositories/{added.repository_id}"
    async with database.unit_of_work() as work:
        checked = "UPDATE repositories SET check_requested_at = NULL, last_checked_at = '2026-11-30 12:00Z'"
        await work.execute(text(checked))
    assert "2026-11-30 12:00 UTC" in (await browser.get(path)).text
    assert "2026-11-30 12:00 UTC" in (await browser.get("/repositories")).text
    answer = await browser.post(f"{path}/check", data={"to": "list"})
    assert answer.headers["location"] == "/repositories"
    assert "being checked" in (await browser.get(path)).text
    refused = await browser.post(f"{path}/follow", data={"when": "end", "follower_url": ""})
    assert (refused.status_code, "needs a notify_url" in refused.text) == (422, True)
    assert (await browser.post(f"{path}/follow", data={"when": HOSTILE})).status_code == 422
    told = {"when": "gate", "follower_url": "https://chat.example.org/hook"}
    assert (await browser.post(f"{path}/follow", data=told)).headers["location"] == path
    for page in (path, "/repositories", "/repositories/followed"):
        assert "when the gate turns" in (await browser.get(page)).text, page
    assert 'value="https://chat.example.org/hook"' in (await browser.get(path)).text
    answer = await browser.post(f"{path}/unfollow", data={"to": "followed"})
    assert answer.headers["location"] == "/repositories/followed"
    assert "You follow no repository" in (await browser.get("/repositories/followed")).text
    assert (await browser.post(f"{path}/remove", content=b"", headers=FORM)).headers["location"] == "/repositories"
    assert (await browser.get(path)).status_code == 404
    async with database.unit_of_work() as work:
        actions = set((await work.scalars(text("SELECT action FROM audit_logs WHERE ip_address = '192.0.2.7'"))).all())
    assert {"check_repository", "follow", "unfollow", "untrack"} <= actions


async def test_the_secret_of_a_push_hook_is_shown_once(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    added = await client.repositories.add(user_id, url=URL)
    path = f"/repositories/{added.repository_id}"
    made = await browser.post(f"{path}/hook-secret", content=b"", headers=FORM)
    (secret,) = re.findall(r"<code>([\w-]{43})</code>", made.text)
    assert made.headers["cache-control"] == "no-store"
    push = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret}
    assert await client.repositories.receive_hook(added.repository_id, push, b"{}") == "checking"
    assert secret not in (await browser.get(path)).text


async def test_a_public_repository_of_another_user_is_seen_and_followed_and_not_changed(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    settings = RepositorySettings(public=True, notify_url="https://bob.example.org/secret-path")
    theirs = await client.repositories.add(other, url=URL, settings=settings)
    await sign_in(browser, client, user_id)
    path = f"/repositories/{theirs.repository_id}"
    shown = await browser.get(path)
    assert shown.status_code == 200
    for never in ("secret-path", "Check now", "Settings", "Push hook"):
        assert never not in shown.text, never
    assert (await browser.post(f"{path}/follow", data={"when": "never"})).status_code == 303
    assert "another user" in (await browser.get("/repositories/followed")).text
    for end in ("", "/check", "/remove", "/hook-secret"):
        assert (await browser.post(path + end, content=b"", headers=FORM)).status_code == 404, end
    hidden = RepositoryChanges(settings=RepositorySettings())
    await client.repositories.update(other, theirs.repository_id, hidden)
    followed = (await browser.get("/repositories/followed")).text
    assert "no longer public" in followed
    assert "owner/repo" not in followed
    assert (await browser.post(f"{path}/unfollow", content=b"", headers=FORM)).status_code == 303


async def test_foreign_and_unknown_ids_are_answered_alike(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    theirs = await client.repositories.add(other, url=URL)
    await client.repositories.follow(other, theirs.repository_id, FollowSettings())
    await sign_in(browser, client, user_id)
    for method, end in (
        ("GET", ""), ("POST", ""), ("POST", "/check"), ("POST", "/remove"), ("POST", "/follow"), ("POST", "/unfollow"),
        ("POST", "/hook-secret"),
    ):  # fmt: skip
        answers = [
            await browser.request(method, f"/repositories/{each}{end}", content=b"", headers=FORM)
            for each in (theirs.repository_id, UUID(int=7), "no-id", "x" * 150)
        ]
        assert {answer.status_code for answer in answers} == {404}, end
        assert len({answer.text for answer in answers}) == 1, end
    assert await client.repositories.get(other, theirs.repository_id) == theirs
    assert len(await client.repositories.list_followed(other)) == 1


async def test_a_visitor_who_may_only_read_sees_no_form_and_changes_nothing(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    added = await client.repositories.add(user_id, url=URL)
    await sign_in(browser, client, user_id, permissions=[Permission.READ])
    path = f"/repositories/{added.repository_id}"
    for page in ("/repositories", "/repositories/followed", "/repositories/trending", path):
        shown = await browser.get(page)
        assert shown.status_code == 200
        assert re.findall(r'method="post" action="([^"]+)"', shown.text) == ["/sign-out"], page
    for end in ("", "/check", "/remove", "/follow", "/unfollow", "/hook-secret"):
        answer = await browser.post(path + end, content=b"", headers=FORM)
        assert (answer.status_code, "manage" in answer.text) == (403, True), end
    assert (await browser.post("/repositories", data={"url": f"{URL}2"})).status_code == 403
    assert await client.repositories.list(user_id) == [added]


async def test_forms_of_other_sites_change_no_repository(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    added = await client.repositories.add(user_id, url=URL)
    await sign_in(browser, client, user_id)
    for origin in ("https://evil.example", "null"):
        for end in ("", "/check", "/remove", "/follow", "/unfollow", "/hook-secret"):
            headers = {**FORM, "Origin": origin}
            answer = await browser.post(f"/repositories/{added.repository_id}{end}", content=b"", headers=headers)
            assert answer.status_code == 403, end
    assert await client.repositories.list(user_id) == [added]


async def test_texts_of_other_programs_stay_text(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    """Rows of programs that check less than ours, and what a host says of its repository."""
    added = await client.repositories.add(user_id, url=URL, settings=RepositorySettings(public=True))
    await client.repositories.follow(user_id, added.repository_id, FollowSettings())
    hostile = {
        "url": f"javascript:alert(1)//{HOSTILE}", "full_name": HOSTILE, "description": HOSTILE, "last_error": HOSTILE,
        "schedule": HOSTILE, "default_branch": HOSTILE, "language": HOSTILE,
    }  # fmt: skip
    documents = {
        "heads": {HOSTILE: HOSTILE},
        "tags": {HOSTILE: [HOSTILE]},
        "settings": {"public": True, "branches": [HOSTILE], "notify_url": HOSTILE, "gate": HOSTILE, "exclude": 7},
    }
    values = {**hostile, **{name: json.dumps(document) for name, document in documents.items()}}
    columns = ", ".join(f"{name} = CAST(:{name} AS {'jsonb' if name in documents else 'text'})" for name in values)
    async with database.unit_of_work() as work:
        await work.execute(text(f"UPDATE repositories SET {columns}"), values)  # noqa: S608
    await add_run(database, user_id, git_branch=HOSTILE, project_name=HOSTILE)
    await sign_in(browser, client, user_id)
    path = f"/repositories/{added.repository_id}"
    for page in ("/repositories", "/repositories/followed", "/repositories/trending", path):
        shown = await browser.get(page)
        assert shown.status_code == 200, page
        for never in ("<script>alert", "\u202e", 'href="javascript'):
            assert never not in shown.text, page
        assert "unsafe" not in shown.headers["content-security-policy"]
    saved = await browser.post(path, data={"schedule": "daily"})
    assert (saved.status_code, 'role="alert"' in saved.text) == (422, True), "the gate cannot be read"
