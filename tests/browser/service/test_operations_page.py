"""The pages for operators in Chromium, with a real worker behind them."""

import asyncio
from uuid import UUID

import pytest
from playwright.async_api import expect
from sqlalchemy import text

from infrastructure.database.engine import Database
from tests.browser.service.conftest import SIZES, Visit
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client

NAME = "<script>alert(1)</script>" + "x" * 120
ROWS = (
    """INSERT INTO notices (
        notice_id, job_id, user_id, url, status, finished_at, attempt, due_at, given_up_at, last_error)
    SELECT gen_random_uuid(), md5('j' || number), :user_id, 'https://hooks.example.org/secret', 'failed', now(), 12,
        now(), now(), :error FROM generate_series(1, 60) AS number""",
    """INSERT INTO repositories (owner_id, name, full_name, url, clone_url, schedule, next_check_at, analysis_status,
        last_error, failures)
    SELECT :user_id, 'r', :name || number, 'https://a.example/o/r' || number, 'https://a.example/o/r', 'daily',
        now() + make_interval(hours => number), 'failed', :error, 3 FROM generate_series(1, 60) AS number""",
)


async def fill(database: Database, user_id: UUID) -> None:
    """Add webhooks that were given up, and repositories whose checks fail, with hostile texts."""
    async with database.unit_of_work() as work:
        for statement in ROWS:
            values = {"user_id": user_id, "name": NAME, "error": NAME}
            wanted = {name: value for name, value in values.items() if f":{name}" in statement}
            await work.execute(text(statement), wanted)


@pytest.mark.parametrize(("width", "scheme"), SIZES)
async def test_every_page_for_operators_fits_its_window_and_is_accessible(
    visit: Visit, client: Client, database: Database, user_id: UUID, width: int, scheme: str
) -> None:
    await fill(database, user_id)
    job = await client.submit_upload(user_id, filename="a.zip", content=b"no zip")
    await until_finished(client, user_id, job.job_id)
    paths = {
        "ops": "/ops?state=all",
        "checks": "/ops/checks",
        "webhooks": "/ops/webhooks",
        "found": f"/ops?find={job.job_id}",
    }
    async with visit(width, scheme) as page:
        await page.goto("/ops")
        await expect(page.page.locator(".worker")).to_have_count(1)
        for name, path in paths.items():
            assert (await page.goto(path)).status == 200, name
            await page.check(f"operations-{name}-{width}-{scheme}")


@pytest.mark.parametrize("has_script", [True, False])
async def test_an_operator_resends_a_webhook_and_turns_pages(
    visit: Visit, database: Database, user_id: UUID, *, has_script: bool
) -> None:
    await fill(database, user_id)
    async with visit(java_script_enabled=has_script) as page:
        await page.goto("/ops")
        await page.page.get_by_role("link", name="All deliveries").click()
        rows = page.page.get_by_role("table", name="Webhook deliveries").locator("tbody tr")
        await expect(rows).to_have_count(50)
        await page.page.get_by_role("link", name="Next page").click()
        await expect(rows).to_have_count(10)
        await rows.first.get_by_text("Resend", exact=True).click()
        await rows.first.get_by_role("button", name="Yes, send it now").click()
        await expect(page.page.get_by_label("State")).to_have_value("waiting")
        await expect(rows).to_have_count(1)
        await page.goto("/ops/checks")
        await page.page.get_by_role("link", name="Next page").click()
        await expect(page.page.get_by_role("table", name="Checks").locator("tbody tr")).to_have_count(10)
        assert page.messages == []


async def test_the_page_shows_by_itself_what_becomes_of_a_killed_worker(
    system: System, visit: Visit, client: Client, user_id: UUID
) -> None:
    async with system.worker("second") as second, visit() as page:
        await page.goto("/ops?state=all")
        workers = page.page.locator(".worker")
        await expect(workers).to_have_count(2, timeout=30_000)
        second.process.kill()
        lost = workers.filter(has_text="lost")
        await expect(lost).to_have_count(1, timeout=60_000)
        await expect(lost.get_by_text("Drain", exact=True)).to_have_count(0)
        job = await client.submit_upload(user_id, filename="theirs.py", content=b"x = 1\n")
        await until_finished(client, user_id, job.job_id)
        await expect(page.page.get_by_role("row").filter(has_text="theirs.py")).to_contain_text(
            "completed", timeout=60_000
        )
        await expect(workers).to_have_count(1, timeout=90_000)
        assert page.messages == []


async def test_an_open_confirmation_stays_open(visit: Visit) -> None:
    async with visit() as page:
        await page.goto("/ops")
        await page.page.get_by_text("Pause", exact=True).click()
        button = page.page.get_by_role("button", name="Yes, keep all workers")
        before = await page.page.locator("#time").inner_text()
        await asyncio.sleep(6)
        await expect(button).to_be_visible()
        assert await page.page.locator("#time").inner_text() == before
        await page.page.get_by_text("Pause", exact=True).click()
        await page.page.get_by_role("heading", name="Operations").click()  # the focus is there no longer
        await expect(page.page.locator("#time")).not_to_have_text(before, timeout=30_000)
