"""The pages over HTTP: signing in and out, forms, errors, and texts that try to become markup."""

import re
from uuid import UUID

import httpx
import pytest

from domain.findings.roles import Role
from infrastructure.database.engine import Database
from tests.fixtures.jobs import complete_upload
from tests.fixtures.network.http_service import Tokens, http_client
from tests.fixtures.worker_process import System
from tests.integration.worker.http.conftest import FORM, HOSTILE, keep_cookie, sign_in
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http import HttpOptions, create_app


async def test_pages_ask_to_sign_in_and_come_back(browser: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    answer = await browser.get("/runs/x/findings", params={"path": "a*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fruns%2Fx%2Ffindings%3Fpath%3Da%252A"
    form = await browser.get(answer.headers["location"])
    assert 'value="/runs/x/findings?path=a%2A"' in form.text
    key = await client.keys.create(user_id, name="browser")
    answer = await browser.post("/sign-in", data={"key": key.text, "next": "/runs/x/findings"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/x/findings")
    keep_cookie(browser, answer)
    assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "/a\nb", "é"])
async def test_no_link_sends_a_visitor_to_another_site(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, target: str
) -> None:
    form = await browser.get("/sign-in", params={"next": target})
    assert 'name="next" value="/"' in form.text
    key = await client.keys.create(user_id, name="browser")
    answer = await browser.post("/sign-in", data={"key": key.text, "next": target})
    assert answer.headers["location"] == "/"


async def test_a_link_signs_in_by_its_button_alone(browser: httpx.AsyncClient, client: Client, user_id: UUID) -> None:
    link = await client.sessions.create_link(user_id)
    for _ in range(3):
        assert "This link signs you in" in (await browser.get(f"/sign-in/{link}")).text
    first = await browser.post(f"/sign-in/{link}")
    second = await browser.post(f"/sign-in/{link}")
    assert (first.status_code, second.status_code) == (303, 401)
    assert "set-cookie" not in second.headers
    assert "make a new one" in second.text


async def test_a_session_ends_for_every_browser_that_has_its_cookie(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    stolen = browser.headers["Cookie"]
    answer = await browser.post("/sign-out")
    assert 'vibe8_session=""' in answer.headers["set-cookie"]
    answer = await browser.get("/", headers={"Cookie": stolen})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F")


async def test_a_cookie_that_was_planted_before_signing_in_is_replaced(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    browser.headers["Cookie"] = "vibe8_session=" + "x" * 43
    await sign_in(browser, client, user_id)
    assert "x" * 43 not in browser.headers["Cookie"]


async def test_a_second_cookie_that_a_neighbour_may_have_planted_is_not_followed(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    own = browser.headers["Cookie"]
    evil = await client.get_or_create_user("evil@example.org")
    planted = await client.sessions.begin_by_link(await client.sessions.create_link(evil))
    for pair in ((own, f"vibe8_session={planted.text}"), (f"vibe8_session={planted.text}", own)):
        assert (await browser.get("/", headers={"Cookie": "; ".join(pair)})).status_code == 303
    assert (await browser.get("/", headers={"Cookie": f"a=b; {own}; c"})).status_code == 200


async def test_the_cookie_of_a_public_name_is_bound_to_it(client: Client, tokens: Tokens, user_id: UUID) -> None:
    app = create_app(client, identify=tokens, options=HttpOptions(allowed_hosts=frozenset({"vibe8.example.org"})))
    async with http_client(app) as http:
        http.headers.update({"Host": "vibe8.example.org", "Origin": "https://vibe8.example.org"})
        link = await client.sessions.create_link(user_id)
        header = (await http.post(f"/sign-in/{link}")).headers["set-cookie"]
        assert header.startswith("__Host-vibe8_session=")
        assert header.endswith("; Path=/; SameSite=lax; Secure")
        text = header.partition(";")[0]
        assert (await http.get("/", headers={"Cookie": text})).status_code == 200
        assert (await http.get("/", headers={"Cookie": text.removeprefix("__Host-")})).status_code == 303
        out = await http.post("/sign-out", headers={"Cookie": text})
        assert out.headers["set-cookie"].startswith('__Host-vibe8_session=""')
        assert (await http.get("/", headers={"Cookie": text})).status_code == 303


async def test_a_session_ends_with_the_key_that_began_it(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    key = await client.keys.create(user_id, name="browser")
    keep_cookie(browser, await browser.post("/sign-in", data={"key": key.text}))
    assert (await browser.get("/")).status_code == 200
    await client.keys.revoke(user_id, key.key.key_id)
    assert (await browser.get("/")).status_code == 303
    assert (await browser.get("/api/v1/jobs")).status_code == 401


async def test_a_session_that_a_key_began_counts_as_requests_of_the_key(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    key = await client.keys.create(user_id, name="browser", rate_limit=4)
    keep_cookie(browser, await browser.post("/sign-in", data={"key": key.text}))
    shown = [(await browser.get(path)).headers for path in ("/", "/api/v1/jobs")]
    assert [each["ratelimit-policy"] for each in shown] == ['"key";q=4;w=3600'] * 2
    assert [each["ratelimit"].partition(";t=")[0] for each in shown] == ['"key";r=2', '"key";r=1']
    assert (await client.keys.authenticate(key.text)).rate_limit.remaining == 0, "it is one limit"
    for path in ("/", "/api/v1/jobs"):
        refused = await browser.get(path)
        assert (refused.status_code, refused.headers["ratelimit"][:9]) == (429, '"key";r=0')
        assert int(refused.headers["retry-after"]) > 0
    assert (await browser.get("/sign-in")).status_code == 200
    assert (await browser.post("/sign-out")).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_forms_of_other_sites_change_nothing(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, headers: dict[str, str]
) -> None:
    await sign_in(browser, client, user_id)
    del browser.headers["Origin"]
    job = await client.submit_upload(user_id, filename="a.py", content=b"x")
    for path in (f"/jobs/{job.job_id}/cancel", "/sign-out", "/submit"):
        answer = await browser.post(path, content=b"", headers={**FORM, **headers})
        assert answer.status_code == 403, path
    answer = await browser.delete(f"/api/v1/jobs/{job.job_id}", headers=headers)
    assert answer.status_code == 403
    assert (await client.get_job(user_id, job.job_id)).cancel_requested_at is None
    assert (await browser.get("/")).status_code == 200


async def test_a_form_without_any_origin_is_no_form_of_ours(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    del browser.headers["Origin"]
    assert (await browser.post("/submit", data={"url": "https://github.com/a/b"})).status_code == 403
    assert await client.list_jobs(user_id) == []


async def test_files_and_repositories_are_submitted_by_forms(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    await sign_in(browser, client, user_id)
    answer = await browser.post("/submit", files={"file": ("a.py", b"x = 1\n")}, data={"project_name": "P"})
    (job,) = await client.list_jobs(user_id)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job.job_id}")
    shown = await browser.get(answer.headers["location"])
    assert f'data-events="/api/v1/jobs/{job.job_id}/events"' in shown.text
    assert '<meta http-equiv="refresh"' in shown.text
    bad = await browser.post("/submit", data={"url": "http://github.com/a/b"})
    assert bad.status_code == 422
    assert 'role="alert"' in bad.text
    good = await browser.post("/submit", data={"url": "https://github.com/a/b", "branch": "", "project_name": ""})
    assert good.status_code == 303
    cancelled = await browser.post(f"/jobs/{job.job_id}/cancel", content=b"", headers=FORM)
    assert cancelled.status_code == 303
    assert (await client.get_job(user_id, job.job_id)).status == "failed"


async def test_every_page_of_a_run_shows_it_to_its_owner_alone(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    first, second = [await complete_upload(client, database, user_id, "p.py") for _ in range(2)]
    pages = [f"/runs/{first}", f"/runs/{first}/findings", f"/projects/{first}", f"/runs/{first}...{second}"]
    await sign_in(browser, client, user_id)
    home = await browser.get("/")
    assert f'href="/runs/{second}"' in home.text
    for path in pages:
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
    other = await client.get_or_create_user("bob@example.org")
    await sign_in(browser, client, other)
    unknown = (await browser.get(f"/runs/{UUID(int=1)}")).text
    for path in pages:
        answer = await browser.get(path)
        assert answer.status_code == 404, path
        assert answer.text == unknown
    assert str(second) not in (await browser.get("/")).text


async def test_filters_choose_findings_and_odd_ones_are_refused(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    run = await complete_upload(client, database, user_id)
    await sign_in(browser, client, user_id)
    for query in ({"role": ""}, {"role": str(Role.TEST)}, {"severity": "high", "path": "src/*"}):
        assert (await browser.get(f"/runs/{run}/findings", params=query)).status_code == 200
    for query in ({"state": "new"}, {"state": "odd"}, {"severity": HOSTILE}, {"metric": HOSTILE}, {"role": "odd"}):
        answer = await browser.get(f"/runs/{run}/findings", params=query)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), query
        assert "<script>alert" not in answer.text


async def test_hostile_names_stay_text(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id, operates=True)
    sent = await browser.post("/submit", files={"file": ("a.py", b"x = 1\n")}, data={"project_name": HOSTILE})
    for path in ("/", sent.headers["location"], "/ops?state=all", f"/ops?find={HOSTILE}", f"/{HOSTILE}"):
        answer = await browser.get(path)
        assert answer.status_code in (200, 404)
        assert "<script>alert" not in answer.text, path
        assert "\u202e" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


async def test_operators_see_and_steer_the_fleet_and_leave_entries(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, system: System
) -> None:
    await sign_in(browser, client, user_id)
    assert (await browser.get("/ops")).status_code == 403
    other = await client.get_or_create_user("bob@example.org")
    job = await client.submit_upload(other, filename="theirs.py", content=b"x")
    await sign_in(browser, client, user_id, operates=True)
    for query in ("?state=pending", f"?find={job.job_id}", "?find=bob@example.org"):
        assert "theirs.py" in (await browser.get(f"/ops{query}")).text, query
    assert (await browser.post("/ops/pause", content=b"", headers=FORM)).status_code == 303
    assert "No worker claims jobs" in (await browser.get("/ops")).text
    assert (await browser.post("/ops/resume", content=b"", headers=FORM)).status_code == 303
    assert (await browser.post(f"/ops/jobs/{job.job_id}/cancel", content=b"", headers=FORM)).status_code == 303
    assert (await client.get_job(other, job.job_id)).status == "failed"
    assert (await browser.post(f"/ops/jobs/{job.job_id}/odd", content=b"", headers=FORM)).status_code == 404
    assert (await browser.post("/ops/drain", data={"worker_id": "none"})).status_code == 404
    async with OperatorClient.open(system.settings) as operator:
        entries = await operator.list_audit_entries(limit=10)
    assert {"pause", "resume", "cancel"} <= {str(entry.action) for entry in entries}


async def test_assets_never_change_and_others_do_not_exist(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/sign-in")).text
    (name,) = re.findall(r'href="(/static/pages\.[0-9a-f]{12}\.css)"', page)
    style = await browser.get(name)
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    for other in ("/static/pages.css", "/static/..%2fvisitor.py", "/static/../visitor.py"):
        assert (await browser.get(other)).status_code == 404
