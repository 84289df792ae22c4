"""The service with a worker, and browsers in which a user is signed in."""

import io
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, FilePayload, async_playwright, expect

from domain.keys import Permission
from tests.browser.conftest import FLAGS
from tests.browser.service.service_page import ServicePage
from tests.fixtures.network.http_service import RunningService, running_service
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient

BASE = '"""A module."""\n\n\ndef f(items):\n    """Sum up."""\n    return sum(items)\n'
WORSE = BASE.replace("sum(items)", "eval(items)")
SIZES = [(360, "light"), (800, "dark"), (1_400, "light"), (1_400, "dark")]

Visit = Callable[..., AbstractAsyncContextManager[ServicePage]]


@pytest.fixture
async def site(git_system: System, client: Client) -> AsyncIterator[RunningService]:
    """The service with a worker, which may fetch from the git host of the tests."""
    async with git_system.worker(), running_service(git_system) as service:
        yield service


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("the tests of pages need Chromium on the PATH: apt-get install chromium")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable, headless=True, args=list(FLAGS))
        yield running
        await running.close()


@pytest.fixture
def visit(chromium: Browser, site: RunningService, client: Client, user_id: UUID) -> Visit:
    """Open a browser of its own, in which a link has signed the user in."""

    @asynccontextmanager
    async def open_it(width: int = 1_400, scheme: Any = "light", **options: Any) -> AsyncIterator[ServicePage]:
        context = await chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        page = ServicePage(await context.new_page(), site.address)
        await sign_in(page, client, user_id)
        yield page
        await context.close()

    return open_it


async def sign_in(page: ServicePage, client: Client, user_id: UUID) -> None:
    maker = OperatorClient(client._connections, client._settings).user_client
    await page.goto(f"/sign-in/{await maker.sessions.create_link(user_id, list(Permission))}")
    await page.page.get_by_role("button", name="Sign in").click()
    await expect(page.page.get_by_role("heading", name="Projects")).to_be_visible()


def archive(code: str) -> FilePayload:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("shop/a.py", code)
    return {"name": "shop.zip", "mimeType": "application/zip", "buffer": data.getvalue()}


async def analyse(page: ServicePage, code: str) -> None:
    """Upload an archive on the first page, and watch its job until the report can be read."""
    await page.goto("/")
    await page.page.get_by_label("One .py file, or a .zip of a project").set_input_files(archive(code))
    await page.page.get_by_label("Project name (optional)").fill("Shop")
    await page.page.get_by_role("button", name="Upload and analyse").click()
    await page.page.get_by_role("link", name="Read the report").click(timeout=60_000)
    await expect(page.page.get_by_role("heading", level=1)).to_contain_text("Shop")
