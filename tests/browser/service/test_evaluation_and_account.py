"""Evaluations and the account in Chromium, with a real worker."""

from uuid import UUID

from playwright.async_api import Browser, expect

from tests.browser.service.conftest import Visit
from tests.browser.service.service_page import ServicePage
from tests.fixtures.control.evaluations import submit_evaluation
from worker.client import Client
from worker.client.operator import OperatorClient


async def test_an_evaluation_is_watched_until_its_authors_are_compared(
    visit: Visit, client: Client, user_id: UUID
) -> None:
    async with visit() as page, OperatorClient.open(client._settings) as operator:
        await operator.fleet.set_paused(paused=True)
        await submit_evaluation(client, user_id)
        await page.page.get_by_role("link", name="Evaluations").click()
        await page.page.get_by_role("link", name="Two authors").click()
        await expect(page.page.get_by_role("status")).to_contain_text("0 of 2 projects have ended: 2 projects pending")
        await operator.fleet.set_paused(paused=False)
        plot = page.page.get_by_role("img", name="Forest plot of Cliff's delta, human against a model")
        await expect(plot).to_be_visible(timeout=60_000)  # the page loads itself again
        await expect(page.page.get_by_text("There are too few projects for any difference")).to_be_visible()
        projects = page.page.get_by_role("table", name="Projects")
        await projects.get_by_role("link", name="human0.py").click()
        await expect(page.page.get_by_role("heading", level=1)).to_contain_text("human0.py")
        await page.page.go_back()
        async with page.page.expect_download() as started:
            await page.page.get_by_role("link", name="CSV file").click()
        assert (await started.value).suggested_filename.endswith(".csv")
        await page.page.get_by_text("Delete", exact=True).click()
        await page.page.get_by_role("button", name="Yes, delete the evaluation").click()
        await expect(page.page.get_by_text("Nothing has been evaluated yet.")).to_be_visible()
        assert page.messages == []


async def test_an_evaluation_is_cancelled_without_script(visit: Visit, client: Client, user_id: UUID) -> None:
    async with visit(java_script_enabled=False) as page, OperatorClient.open(client._settings) as operator:
        await operator.fleet.set_paused(paused=True)
        made = await submit_evaluation(client, user_id)
        await page.goto(f"/evaluations/{made.summary.evaluation_id}")
        await page.page.get_by_text("Cancel", exact=True).click()
        await page.page.get_by_role("button", name="Yes, cancel the projects").click()
        await expect(page.page.get_by_text("failed: no project has a result")).to_be_visible()
        missing = page.page.get_by_role("table", name="Projects without a result")
        await expect(missing).to_contain_text("cancelled by user")


async def test_a_key_is_made_signs_in_and_ends_its_session_when_it_is_revoked(visit: Visit, chromium: Browser) -> None:
    async with visit() as page:
        await page.page.get_by_role("link", name="Account").click()
        await page.page.get_by_label("Name: what it is for").fill("laptop")
        await page.page.get_by_label("Days until it expires").fill("never")
        await page.page.get_by_role("button", name="Make the key").click()
        await expect(page.page.get_by_role("alert")).to_contain_text("the number of days must be 1 to 3650, or empty")
        await expect(page.page.get_by_label("Name: what it is for")).to_have_value("laptop")
        await page.page.get_by_label("Days until it expires").fill("")
        await page.page.get_by_role("button", name="Make the key").click()
        key = await page.page.get_by_role("status").locator("code").inner_text()
        other = ServicePage(await chromium.new_page(), page.address)
        await other.goto("/sign-in?next=/account")
        await other.page.get_by_label("API key").fill(key)
        await other.page.get_by_role("button", name="Sign in").click()
        await expect(other.page.get_by_role("row").filter(has_text="laptop")).to_contain_text("read, submit")
        await expect(other.page.get_by_role("button", name="Make the key")).to_have_count(0)
        row = page.page.get_by_role("row").filter(has_text="laptop")
        await row.get_by_text("Revoke", exact=True).click()
        await row.get_by_role("button", name="Yes, revoke").click()
        await expect(page.page.get_by_role("row").filter(has_text="laptop")).to_contain_text("revoked")
        await other.goto("/account")
        await expect(other.page.get_by_label("API key")).to_be_visible()


async def test_signing_out_everywhere_ends_both_browsers(visit: Visit) -> None:
    async with visit() as first, visit() as second:
        await first.goto("/account")
        await first.page.get_by_text("Sign out everywhere", exact=True).click()
        await first.page.get_by_role("button", name="Yes, end all sessions").click()
        await expect(first.page.get_by_label("API key")).to_be_visible()
        await second.goto("/account")
        await expect(second.page.get_by_label("API key")).to_be_visible()
