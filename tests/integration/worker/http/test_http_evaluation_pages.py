"""Pages of evaluations over HTTP: how far one is, its comparison, its files, and what is refused."""

import re
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from domain.keys import Permission
from infrastructure.database.engine import Database
from tests.fixtures.control.evaluations import claim_all, complete, fail, submit_evaluation
from tests.integration.worker.http.conftest import FORM, HOSTILE, sign_in
from worker.client import Client

pytestmark = pytest.mark.settings(MAX_CONCURRENT_JOBS_PER_USER="100")
AUTHORS = ["human", "a model"] * 2


async def test_an_evaluation_under_way_shows_how_far_each_project_is_and_is_cancelled(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    await sign_in(browser, client, user_id)
    assert "Nothing has been evaluated yet" in (await browser.get("/evaluations")).text
    made = await submit_evaluation(client, user_id, AUTHORS)
    path = f"/evaluations/{made.summary.evaluation_id}"
    first, second, _ = await claim_all(database, 3)
    run_id = await complete(database, first, 1)
    await fail(database, second, "the archive is broken")
    shown = await browser.get(path)
    assert shown.status_code == 200
    for words in (
        "2 of 4 projects have ended: 1 project running, 1 project failed, 1 project pending, 1 project completed",
        f'href="/runs/{run_id}"', f'href="/jobs/{second.job.job_id}"', "the archive is broken", "under way",
        '<meta http-equiv="refresh"', "human0.py",
    ):  # fmt: skip
        assert words in shown.text, words
    assert "not yet" in (await browser.get("/evaluations")).text
    deleted = await browser.post(f"{path}/delete", content=b"", headers=FORM)
    assert (deleted.status_code, "cancel it before you delete it" in deleted.text) == (409, True)
    assert (await browser.get(f"{path}/export?format=csv")).status_code == 409
    assert (await browser.post(f"{path}/cancel", content=b"", headers=FORM)).headers["location"] == path


async def test_an_ended_evaluation_shows_plots_and_tables_with_links_to_its_runs(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    made = await submit_evaluation(client, user_id, AUTHORS * 3)
    runs = [await complete(database, claim, number % 7) for number, claim in enumerate(await claim_all(database, 12))]
    path = f"/evaluations/{made.summary.evaluation_id}"
    await sign_in(browser, client, user_id)
    shown = (await browser.get(path)).text
    for run_id in runs:
        assert f'href="/runs/{run_id}"' in shown
    for words in ('role="img" aria-label="Forest plot', "declared by the submitter", "95 % interval"):
        assert words in shown, words
    assert "style=" not in shown
    assert "<style" not in shown
    for ending, media_type in (("html", "text/html"), ("csv", "text/csv"), ("json", "application/json")):
        file = await browser.get(f"{path}/export?format={ending}")
        assert file.headers["content-type"].startswith(media_type)
        named = f'attachment; filename="vibe8-evaluation-{made.summary.evaluation_id}.{ending}"'
        assert file.headers["content-disposition"] == named
    assert (await browser.get(f"{path}/export?format=exe")).status_code == 422
    refused = await browser.post(f"{path}/cancel", content=b"", headers=FORM)
    assert (refused.status_code, "there is nothing to cancel" in refused.text) == (409, True)
    answer = await browser.post(f"{path}/delete", content=b"", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/evaluations")
    assert (await browser.get(path)).status_code == 404
    assert (await client.get_run_summary(user_id, runs[0])).run_id == runs[0]


async def test_an_evaluation_without_a_result_says_why(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    made = await submit_evaluation(client, user_id)
    for claim in await claim_all(database, 2):
        await fail(database, claim, "no Python file")
    await sign_in(browser, client, user_id)
    shown = await browser.get(f"/evaluations/{made.summary.evaluation_id}")
    assert shown.status_code == 200
    assert "no project has a result" in shown.text
    assert "no Python file" in shown.text


async def test_evaluations_are_listed_page_by_page(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    for _ in range(2):
        await submit_evaluation(client, user_id)
    async with database.unit_of_work() as work:
        await work.execute(
            text(
                "INSERT INTO evaluation_runs (user_id, name, description, dataset_name, config, created_at)"
                " SELECT user_id, 'copy ' || n, description, dataset_name, config, created_at - n * interval '1 hour'"
                " FROM (SELECT * FROM evaluation_runs LIMIT 1) AS one, generate_series(1, 50) AS n"
            )
        )
    await sign_in(browser, client, user_id)
    first = (await browser.get("/evaluations")).text
    assert ("copy 48<" in first, "copy 49<" in first) == (True, False)
    (path,) = re.findall(r'href="(/evaluations\?cursor=[^"]+)"', first)
    second = (await browser.get(path)).text
    assert re.findall(r"copy \d+", second) == ["copy 49", "copy 50"]
    assert (await browser.get("/evaluations?cursor=odd!")).status_code == 422


async def test_foreign_and_unknown_evaluations_are_answered_alike(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    theirs = (await submit_evaluation(client, other)).summary.evaluation_id
    await sign_in(browser, client, user_id)
    for method, end in (("GET", ""), ("GET", "/export?format=csv"), ("POST", "/cancel"), ("POST", "/delete")):
        answers = [
            await browser.request(method, f"/evaluations/{each}{end}", content=b"", headers=FORM)
            for each in (theirs, UUID(int=7), "no-id")
        ]
        assert {answer.status_code for answer in answers} == {404}, end
        assert len({answer.text for answer in answers}) == 1, end
    assert not (await client.evaluations.get(other, theirs)).summary.status.finished


async def test_each_act_needs_its_permission_and_a_form_of_this_service(
    browser: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    made = (await submit_evaluation(client, user_id)).summary.evaluation_id
    path = f"/evaluations/{made}"
    await sign_in(browser, client, user_id, permissions=[Permission.READ])
    assert re.findall(r'method="post" action="([^"]+)"', (await browser.get(path)).text) == ["/sign-out"]
    for act, permission in (("cancel", "submit"), ("delete", "manage")):
        answer = await browser.post(f"{path}/{act}", content=b"", headers=FORM)
        assert (answer.status_code, permission in answer.text) == (403, True)
    await sign_in(browser, client, user_id)
    for act in ("cancel", "delete"):
        headers = {**FORM, "Origin": "https://evil.example"}
        assert (await browser.post(f"{path}/{act}", content=b"", headers=headers)).status_code == 403
    assert not (await client.evaluations.get(user_id, made)).summary.status.finished


async def test_hostile_names_of_an_evaluation_stay_text(
    browser: httpx.AsyncClient, client: Client, user_id: UUID, database: Database
) -> None:
    ended, open_one = [await submit_evaluation(client, user_id) for _ in range(2)]
    for claim in await claim_all(database, 2):
        await complete(database, claim, 1)
    values = {"hostile": HOSTILE, "first": ended.members[0].declared.source, "model": "a model"}
    async with database.unit_of_work() as work:
        await work.execute(
            text("UPDATE evaluation_runs SET name = :hostile, description = :hostile, dataset_name = :hostile"
                 ", model_name = :hostile, config = CAST(replace(replace(CAST(config AS text), :first,"
                 " '<script>alert(1)</script>'), :model, '<script>alert(2)</script>') AS jsonb)"),
            values,
        )  # fmt: skip
    await sign_in(browser, client, user_id)
    for page in ("", f"/{ended.summary.evaluation_id}", f"/{open_one.summary.evaluation_id}"):
        shown = await browser.get(f"/evaluations{page}")
        assert shown.status_code == 200, page
        assert "&lt;script&gt;alert" in shown.text
        assert "<script>alert" not in shown.text
        assert "\u202e" not in shown.text, page
