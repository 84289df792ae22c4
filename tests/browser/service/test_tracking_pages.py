"""Tracked repositories in Chromium: a real worker checks them at a git host."""

import re
from uuid import UUID

from playwright.async_api import expect

from tests.browser.service.conftest import Visit
from tests.browser.service.service_page import ServicePage
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from worker.client import Client

NAME = "owner/repository"


async def track(page: ServicePage, url: str) -> None:
    """Track a repository by the form, and wait until it is analysed."""
    await page.goto("/")
    await page.page.get_by_role("link", name="Repositories").click()
    await page.page.get_by_label("https address").fill(url)
    await page.page.get_by_label("Schedule").fill("daily")
    await page.page.get_by_role("button", name="Track", exact=True).click()
    await expect(page.page.get_by_role("heading", level=1)).to_contain_text(NAME)
    await page.reload_until(page.page.get_by_text("analysed", exact=True))


async def test_a_repository_is_tracked_analysed_followed_changed_and_removed(
    visit: Visit, git_server: GitServer, small_tree: WorkTree, client: Client, user_id: UUID
) -> None:
    url = git_server.add(NAME, small_tree.dot_git)
    async with visit() as page:
        await track(page, url)
        newest = page.page.get_by_role("table", name="Newest run")
        await expect(newest).to_contain_text("main")
        await page.page.get_by_label("You are told", exact=True).select_option("when a run ends")
        await page.page.get_by_role("button", name="Follow").click()
        await expect(page.page.get_by_role("alert")).to_contain_text("needs a notify_url")
        await page.page.get_by_label("You are told", exact=True).select_option("not at all")
        await page.page.get_by_role("button", name="Follow").click()
        await expect(page.page.get_by_text("You follow it, and are told not at all.")).to_be_visible()
        await page.page.get_by_label("Branches, one a line").fill("main\ndev")
        await page.page.get_by_label("Public: all users").check()
        await page.page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.page.get_by_text("all users", exact=True)).to_be_visible()
        (stored,) = await client.repositories.list(user_id)
        assert stored.settings == {"branches": ["main", "dev"], "public": True}
        await page.reload_until(page.page.locator(".error"))
        await expect(page.page.locator(".error")).to_contain_text("dev")  # there is no such branch
        await page.page.get_by_role("link", name="Repositories").click()
        row = page.page.get_by_role("row").filter(has_text=NAME)
        await expect(row).to_contain_text("told not at all")
        await row.get_by_text("Unfollow", exact=True).click()
        await row.get_by_role("button", name="Yes, unfollow").click()
        await expect(row.get_by_role("link", name="Follow", exact=True)).to_be_visible()
        await row.get_by_role("link", name=NAME).click()
        await page.page.get_by_text("Make a new secret").click()
        await page.page.get_by_role("button", name="Yes, make one").click()
        await expect(page.page.get_by_role("status").first).to_contain_text("It is shown this once")
        assert [message for message in page.messages if "422" not in message] == []


async def test_a_repository_is_removed_by_keyboard_alone_and_without_script(
    visit: Visit, git_server: GitServer, small_tree: WorkTree, client: Client, user_id: UUID
) -> None:
    url = git_server.add(NAME, small_tree.dot_git)
    async with visit(java_script_enabled=False) as page:
        await track(page, url)
        await page.page.get_by_role("link", name="Repositories").focus()
        names = await page.tab_until("Remove")
        assert "Check now" in names
        await page.page.keyboard.press("Enter")
        await page.tab_until("Yes, track it no longer")
        await page.page.keyboard.press("Enter")
        await expect(page.page.get_by_text("No repository is tracked yet.")).to_be_visible()
        assert await client.repositories.list(user_id) == []
        assert len((await client.list_runs(user_id)).runs) == 1


async def test_the_gate_policy_of_a_repository_is_edited_without_script(
    visit: Visit, git_server: GitServer, small_tree: WorkTree, client: Client, user_id: UUID
) -> None:
    url = git_server.add(NAME, small_tree.dot_git)
    policy = '{"conditions": [{"kind": "new_findings", "max": 3}]}'
    async with visit(java_script_enabled=False) as page:
        await track(page, url)
        area, save = page.page.get_by_label("Policy as JSON"), page.page.get_by_role("button", name="Save the policy")
        await area.fill(policy.replace("3", "-1"))
        await save.click()
        await expect(page.page.locator("#gate").get_by_role("alert")).to_contain_text("must be a number from 0")
        await expect(area).to_have_value(policy.replace("3", "-1"))
        await area.fill(policy)
        await save.click()
        await expect(page.page.get_by_text("a policy of its own")).to_be_visible()
        await expect(area).to_have_value(re.compile(r'"max": 3'))
        (stored,) = await client.repositories.list(user_id)
        assert stored.settings["gate"]["conditions"][0]["max"] == 3
