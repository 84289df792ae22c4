"""The form of a repository's gate policy: what it shows, stores and refuses."""

import json
from uuid import UUID

import httpx
import pytest
from markupsafe import escape
from sqlalchemy import text

from domain.keys import Permission
from infrastructure.database.engine import Database
from tests.integration.worker.http.conftest import FORM, HOSTILE, sign_in
from worker.client import Client, repository_settings_from_json

URL = "https://github.com/owner/repo"
POLICY = {"conditions": [{"kind": "new_findings", "max": 3.0, "severity": "high", "metrics": ["lint"]}]}
STORED = {**POLICY, "small_change_lines": 20, "roles": ["source"]}


async def add(client: Client, user_id: UUID) -> str:
    settings = repository_settings_from_json({"branches": ["main"], "public": True})
    added = await client.repositories.add(user_id, url=URL, settings=settings)
    return f"/repositories/{added.repository_id}"


async def stored(client: Client, user_id: UUID) -> object:
    (found,) = await client.repositories.list(user_id)
    return found.settings


async def test_a_policy_is_stored_shown_and_taken_away(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id)
    path = await add(client, user_id)
    saved = await browser.post(f"{path}/gate", data={"gate": json.dumps(POLICY)})
    assert (saved.status_code, saved.headers["location"]) == (303, path)
    assert await stored(client, user_id) == {"branches": ["main"], "public": True, "gate": STORED}
    shown = (await browser.get(path)).text
    assert "a policy of its own" in shown
    assert json.dumps(STORED, indent=2).replace('"', "&#34;") in shown
    async with database.unit_of_work() as work:
        query = "SELECT user_id, host(ip_address) FROM audit_logs WHERE action = 'update_repository'"
        assert (await work.execute(text(query))).all() == [(user_id, "192.0.2.7")]
    form = {"schedule": "often", "branches": "main"}
    assert "&#34;max&#34;: 3" in (await browser.post(path, data=form)).text, "another form that is refused keeps it"
    await browser.post(f"{path}/gate", data={"gate": "  "})
    assert await stored(client, user_id) == {"branches": ["main"], "public": True}


@pytest.mark.parametrize(
    ("entered", "words"),
    [
        ('{"conditions": [\n  {"kind"}]}', "line 2, column"),
        ("[" * 10_000, "no JSON"),
        ('{"conditions": NaN}', "no JSON"),
        ("7", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ('{"conditions": []}', "list of 1 to"),
        ('{"conditions": [{"kind": "odd", "max": 1}]}', "conditions[0].kind must be one of"),
        ('{"conditions": [{"kind": "new_findings", "max": 0}], "x": 1}', "unknown key"),
        (json.dumps({HOSTILE: 1}), "unknown key"),
        (HOSTILE, "no JSON"),
        ("0" * 40_000, "no JSON"),
    ],
)
async def test_a_policy_that_is_refused_is_shown_with_why_beside_it(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, entered: str, words: str
) -> None:
    await sign_in(browser, client, user_id)
    path = await add(client, user_id)
    before = await stored(client, user_id)
    refused = await browser.post(f"{path}/gate", data={"gate": entered})
    assert refused.status_code == 422
    _, beside = refused.text.split('<section id="gate">')
    assert refused.text.count('role="alert"') == beside.count('role="alert"') == 1
    reason = beside.partition('id="policy-error">')[2].partition("</p>")[0]
    assert words in reason
    assert "\n" not in reason
    for never in ("<script>alert", "\u202e"):
        assert never not in refused.text
    assert str(escape(entered[:10])) in beside, "as it was entered"
    assert await stored(client, user_id) == before


async def test_only_the_owner_changes_the_gate_and_from_the_form_alone(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    theirs = await add(client, other)
    path, form = f"{theirs}/gate", {"gate": json.dumps(POLICY)}
    await sign_in(browser, client, user_id)
    assert (await browser.post(path, data=form)).status_code == 404
    assert "Quality gate" not in (await browser.get(theirs)).text
    await sign_in(browser, client, other, permissions=[Permission.READ, Permission.SUBMIT])
    assert (await browser.post(path, data=form)).status_code == 403
    await sign_in(browser, client, other)
    assert (await browser.post(path, data=form, headers={"Origin": "https://evil.example"})).status_code == 403
    assert (await browser.post(path, data={**form, "odd": "1"})).status_code == 400
    plain = {"Content-Type": "text/plain"}
    assert (await browser.post(path, content=json.dumps(POLICY), headers=plain)).status_code == 415
    assert (await browser.post(path, content=b"gate=%00", headers=FORM)).status_code == 400
    assert await stored(client, other) == {"branches": ["main"], "public": True}
