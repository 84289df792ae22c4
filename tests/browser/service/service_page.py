"""A page of `vibe8 serve` in Chromium, with what it has told the console and what axe-core says of it."""

import asyncio
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Locator, Page, Response

from tests.browser.open_page import OVERFLOW

SCREENSHOTS = os.environ.get("VIBE8_SCREENSHOTS")
"""Where pictures of the pages are kept, if anywhere."""


class ServicePage:
    """A page that checks itself wherever it goes."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.messages: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._on_message)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_message(self, message: ConsoleMessage) -> None:
        self.messages.append(f"{message.type}: {message.text}")

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.foreign.append(url)

    async def goto(self, path: str) -> Response:
        """Open a path of the service, or an address."""
        response = await self.page.goto(path if "://" in path else f"{self.address}{path}")
        assert response is not None
        return response

    async def reload_until(self, wanted: Locator, seconds: float = 60) -> None:
        """Load the page again and again until it shows this."""
        async with asyncio.timeout(seconds):
            while not await wanted.is_visible():
                await asyncio.sleep(0.5)
                await self.page.reload()

    async def tab_until(self, text: str, most: int = 60) -> list[str]:
        """Press Tab until an element that begins with this text has the focus. Returns what had it before."""
        passed: list[str] = []
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            focused = str(await self.page.evaluate("document.activeElement.innerText || ''")).strip()
            if focused.startswith(text):
                return passed
            passed.append(focused)
        raise AssertionError(f"{text!r} is not among {passed}")

    async def check(self, name: str) -> None:
        """Check that the page fits its window, is accessible, and asks nobody else for anything."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
        assert await self.page.evaluate(OVERFLOW) == [], name
        await self.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        result: dict[str, Any] = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(result["passes"]) > 10, "axe-core has looked at nothing"
        assert [
            f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in result["violations"]
        ] == [], name
        assert self.messages == [], name
        assert self.foreign == [], name
