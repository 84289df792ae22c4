"""Chromium for the tests, and reports as files that it opens."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.open_page import OpenPage
from tests.unit.worker.export.sample_runs import export

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""Chromium may run as root, and asks nobody for anything. Playwright gives it a new profile and no window."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium for all tests; each page has a context of its own."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("the tests of reports need Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, headless=True, args=list(FLAGS))
        yield running
        running.close()


class OpenReport(Protocol):
    """Opens the report of a result at a width in pixels, in the light or the dark scheme."""

    def __call__(self, document: dict[str, Any], *, width: int = 1440, scheme: str = "light") -> OpenPage: ...


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[OpenReport]:
    with ExitStack() as stack:

        def open_it(document: dict[str, Any], *, width: int = 1440, scheme: Any = "light") -> OpenPage:
            file = tmp_path / f"report-{width}-{scheme}.html"
            file.write_bytes(export(document, "html"))
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            stack.callback(context.close)
            page: Page = context.new_page()
            opened = OpenPage(page)
            page.goto(file.as_uri())
            return opened

        yield open_it
