"""The pages of `vibe8 serve` in Chromium, with a real worker behind them."""

import asyncio
from uuid import UUID

import pytest
from playwright.async_api import Browser, expect

from tests.browser.service.conftest import BASE, SIZES, WORSE, Visit, analyse, archive
from tests.browser.service.service_page import ServicePage
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient


async def test_a_visitor_signs_in_uploads_and_reads_the_report(visit: Visit) -> None:
    async with visit() as page:
        await analyse(page, BASE)
        await page.check("first-report")
        await analyse(page, WORSE)
        gate = page.page.locator("#gate .verdict")
        await expect(gate).to_contain_text("Rejected")
        await page.page.get_by_role("link", name="Filter findings").click()
        await page.page.get_by_label("State").select_option("new")
        await page.page.get_by_label("Metric").select_option("security")
        await page.page.get_by_role("button", name="Filter").click()
        table = page.page.get_by_role("table", name="Findings")
        await expect(table).to_contain_text("B307")
        assert await table.locator("tbody tr").count() == 1
        await page.page.get_by_role("link", name="Report of the run").click()
        await page.page.get_by_role("link", name="Runs of this project").click()
        await page.page.get_by_role("link", name="with its baseline").click()
        await expect(page.page.get_by_role("heading", name="New or worse: 1")).to_be_visible()
        assert page.messages == []
        await page.page.get_by_role("button", name="Sign out").click()
        await expect(page.page.get_by_label("API key")).to_be_visible()
        answer = await page.goto("/")
        assert answer.url.endswith("/sign-in?next=%2F")


@pytest.mark.parametrize(("width", "scheme"), SIZES)
async def test_every_page_fits_its_window_and_is_accessible(
    visit: Visit, client: Client, user_id: UUID, width: int, scheme: str
) -> None:
    async with visit(width, scheme) as page:
        await analyse(page, BASE)
        await analyse(page, WORSE)
        second, first = (await client.list_runs(user_id, limit=2)).runs
        job = (await client.list_jobs(user_id))[0]
        shared = await client.reports.create(user_id, second.run_id, password="a password")
        paths = {
            "home": "/",
            "job": f"/jobs/{job.job_id}",
            "run": f"/runs/{second.run_id}",
            "findings": f"/runs/{second.run_id}/findings?role=",
            "compare": f"/runs/{first.run_id}...{second.run_id}",
            "project": f"/projects/{second.run_id}",
            "ops": "/ops?state=all",
            "shares": "/shares",
            "password": f"/r/{shared.code}",
            "sign-in": "/sign-in",
        }
        for name, path in paths.items():
            assert (await page.goto(path)).status == (401 if name == "password" else 200), name
            page.messages = [message for message in page.messages if "401" not in message]
            await page.check(f"{name}-{width}-{scheme}")


async def test_a_report_is_shared_with_a_password_and_expires(
    visit: Visit, chromium: Browser, client: Client, user_id: UUID
) -> None:
    async with visit() as page:
        await analyse(page, BASE)
        await page.page.get_by_text("Share this report").click()
        await page.page.get_by_label("Password (empty: none)").fill("correct horse")
        await page.page.get_by_role("button", name="Share", exact=True).click()
        path = await page.page.get_by_role("link", name="/r/").get_attribute("href")
        assert path is not None
        stranger = ServicePage(await chromium.new_page(), page.address)
        await stranger.goto(path)
        await stranger.page.get_by_label("Password").fill("wrong")
        await stranger.page.get_by_role("button", name="Read the report").click()
        await expect(stranger.page.get_by_role("alert")).to_contain_text("wrong")
        await stranger.page.get_by_label("Password").fill("correct horse")
        await stranger.page.get_by_role("button", name="Read the report").click()
        await expect(stranger.page.get_by_role("heading", level=1)).to_contain_text("Shop")
        await page.page.get_by_text("Withdraw", exact=True).click()
        await page.page.get_by_role("button", name="Yes, withdraw").click()
        assert (await stranger.goto(path)).status == 404


async def test_pages_work_without_script(visit: Visit) -> None:
    async with visit(java_script_enabled=False) as page:
        await page.page.get_by_label("One .py file, or a .zip of a project").set_input_files(archive(BASE))
        await page.page.get_by_role("button", name="Upload and analyse").click()
        await page.page.get_by_role("link", name="Read the report").click(timeout=60_000)  # the page loads itself again
        await expect(page.page.get_by_role("heading", level=1)).to_contain_text("shop")


async def test_progress_is_live(visit: Visit, client: Client, user_id: UUID) -> None:
    async with visit() as page:
        async with OperatorClient.open(client._settings) as operator:
            await operator.fleet.set_paused(paused=True)
            job = await client.submit_upload(user_id, filename="a.py", content=BASE.encode())
            await page.goto(f"/jobs/{job.job_id}")
            await expect(page.page.get_by_role("status")).to_contain_text("pending")
            await operator.fleet.set_paused(paused=False)
        await expect(page.page.get_by_role("link", name="Read the report")).to_be_visible(timeout=60_000)


async def test_an_operator_pauses_finds_and_cancels(visit: Visit, client: Client) -> None:
    other = await client.get_or_create_user("bob@example.org")
    async with visit() as page:
        await page.goto("/ops")
        await page.page.get_by_text("Pause", exact=True).click()
        await page.page.get_by_role("button", name="Yes, keep all workers").click()
        await expect(page.page.get_by_text("No worker claims jobs.")).to_be_visible()
        job = await client.submit_upload(other, filename="theirs.py", content=b"x = 1\n")
        await page.page.get_by_label("Beginning of a job id, or email of a user").fill("bob@example.org")
        await page.page.get_by_role("button", name="Show").click()
        row = page.page.get_by_role("row").filter(has_text="theirs.py")
        await row.get_by_text("Cancel", exact=True).click()
        await row.get_by_role("button", name="Yes, cancel").click()
        await expect(page.page.get_by_role("row").filter(has_text="theirs.py")).to_contain_text("failed")
        assert (await client.get_job(other, job.job_id)).status == "failed"
        await page.page.get_by_text("Resume", exact=True).click()
        await page.page.get_by_role("button", name="Yes, let the workers").click()
        await expect(page.page.get_by_text("Pause", exact=True)).to_be_visible()
        assert page.messages == []


async def test_a_killed_worker_disappears_from_the_page(
    system: System, visit: Visit, client: Client, user_id: UUID
) -> None:
    async with system.worker("second") as second, visit() as page:
        await page.goto("/ops")
        workers = page.page.locator(".worker")
        await expect(workers).to_have_count(2)
        second.process.kill()
        async with asyncio.timeout(90):
            while await workers.count() > 1:
                await asyncio.sleep(1)
                await page.page.reload()
        await analyse(page, BASE)
