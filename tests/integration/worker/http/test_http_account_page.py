"""The page of an account over HTTP: usage, API keys, sessions."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from domain.errors import InvalidKeyError
from domain.keys import Permission
from tests.integration.worker.http.conftest import FORM, HOSTILE, sign_in
from worker.client import Client

KEY = re.compile(r"<code>(v8_[a-z0-9]{12}_[\w-]{43})</code>")
FORM_OF_KEY = {"name": "ci", "days": "30", "rate_limit": "100", "may_read": "yes", "may_submit": "yes"}


@pytest.mark.settings(MAX_CONCURRENT_JOBS_PER_USER="5", DAILY_JOB_LIMIT_PER_USER="7")
async def test_usage_is_shown_beside_the_limits_of_the_plan(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    shown = (await browser.get("/account")).text
    assert "Plan: free" in shown
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th><td class="n">([^<]+)</td>', shown))
    assert (rows["Analyses of this month"], rows["Jobs of today"], rows["Unfinished jobs"]) == ("1", "1", "1")
    assert re.search(r'Jobs of today</th><td class="n">1</td><td class="n">7</td>', shown)
    assert re.search(r'Analyses of this month</th><td class="n">1</td><td class="n">unlimited</td>', shown)
    for _ in range(4):
        await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    assert 'Unfinished jobs</th><td class="n"><span class="chip high">5</span>' in (await browser.get("/account")).text


async def test_a_key_is_made_shown_once_and_revoked(browser: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    await sign_in(browser, client, user_id)
    made = await browser.post("/account/keys", data=FORM_OF_KEY)
    (key_text,) = KEY.findall(made.text)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    key = await client.keys.authenticate(key_text)
    assert (key.user_id, key.permissions) == (user_id, frozenset({Permission.READ, Permission.SUBMIT}))
    assert key.rate_limit.limit == 100
    (listed,) = await client.keys.list(user_id)
    assert listed.expires_at is not None
    assert abs(listed.expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    shown = (await browser.get("/account")).text
    assert key_text not in shown
    assert f"<code>v8_{listed.prefix}</code>" in shown
    answer = await browser.post(f"/account/keys/{listed.key_id}/revoke", content=b"", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    with pytest.raises(InvalidKeyError):
        await client.keys.authenticate(key_text)
    assert "revoked</span>" in (await browser.get("/account")).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "1 to 100 printable characters"),
        ({"name": HOSTILE}, "1 to 100 printable characters"),
        ({"days": "soon"}, "the number of days must be 1 to 3650"),
        ({"days": "00000000019999999999"}, "the number of days must be 1 to 3650"),
        ({"days": "0"}, "the number of days must be 1 to 3650"),
        ({"rate_limit": "1001"}, "the number of requests an hour must be 1 to 1000"),
        ({"may_read": None, "may_submit": None}, "at least one permission"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_and_the_form_keeps_its_fields(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, changes: dict[str, str | None], words: str
) -> None:
    await sign_in(browser, client, user_id)
    fields = {name: value for name, value in {**FORM_OF_KEY, **changes}.items() if value is not None}
    answer = await browser.post("/account/keys", data=fields)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert words in answer.text
    assert f'value="{fields["rate_limit"]}"' in answer.text
    for never in ("<script>alert", "\u202e"):
        assert never not in answer.text
    assert await client.keys.list(user_id) == []


async def test_no_key_allows_more_than_the_session_that_makes_it(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id, permissions=[Permission.READ, Permission.MANAGE])
    refused = await browser.post("/account/keys", data=FORM_OF_KEY)
    assert (refused.status_code, "without the permission submit" in refused.text) == (403, True)
    unknown = await browser.post("/account/keys", data={**FORM_OF_KEY, "may_operate": "yes"})
    assert unknown.status_code == 400
    await sign_in(browser, client, user_id, operates=True)
    unknown = await browser.post("/account/keys", data={**FORM_OF_KEY, "may_operate": "yes"})
    assert unknown.status_code == 400
    assert await client.keys.list(user_id) == []


async def test_the_most_keys_are_named(browser: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    await sign_in(browser, client, user_id)
    for _ in range(100):
        await client.keys.create(user_id, name="one")
    answer = await browser.post("/account/keys", data=FORM_OF_KEY)
    assert (answer.status_code, 'role="alert"' in answer.text) == (429, True)


async def test_signing_out_everywhere_ends_every_session_of_the_visitor_alone(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    await sign_in(browser, client, other)
    bobs = browser.headers["Cookie"]
    await sign_in(browser, client, user_id)
    first = browser.headers["Cookie"]
    await sign_in(browser, client, user_id)
    answer = await browser.post("/account/sign-out", content=b"", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert 'vibe8_session=""' in answer.headers["set-cookie"]
    for cookie in (first, browser.headers["Cookie"]):
        assert (await browser.get("/account", headers={"Cookie": cookie})).status_code == 303
    assert (await browser.get("/account", headers={"Cookie": bobs})).status_code == 200


async def test_foreign_and_unknown_keys_are_answered_alike(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    theirs = await client.keys.create(other, name=HOSTILE.replace("\u202e", ""))
    await sign_in(browser, client, user_id)
    answers = [
        await browser.post(f"/account/keys/{each}/revoke", content=b"", headers=FORM)
        for each in (theirs.key.key_id, UUID(int=7), "no-id")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    await client.keys.authenticate(theirs.text)
    await sign_in(browser, client, other)
    shown = (await browser.get("/account")).text
    assert ("<script>alert" in shown, "&lt;script&gt;alert" in shown) == (False, True)


async def test_each_act_needs_its_permission_and_a_form_of_this_service(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    made = await client.keys.create(user_id, name="one")
    acts = ("/account/keys", f"/account/keys/{made.key.key_id}/revoke", "/account/sign-out")
    await sign_in(browser, client, user_id, permissions=[Permission.READ])
    assert re.findall(r'method="post" action="([^"]+)"', (await browser.get("/account")).text) == ["/sign-out"]
    for act in acts:
        assert (await browser.post(act, content=b"", headers=FORM)).status_code == 403, act
    await sign_in(browser, client, user_id)
    for act in acts:
        headers = {**FORM, "Origin": "https://evil.example"}
        assert (await browser.post(act, content=b"", headers=headers)).status_code == 403, act
    assert [key.is_active for key in await client.keys.list(user_id)] == [True]
