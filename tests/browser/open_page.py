"""A page in the browser, with what it has told the console and asked of the network."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request

OVERFLOW = """() => {
  const width = document.documentElement.clientWidth
  const clipped = element => {
    for (let up = element.parentElement; up; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== 'visible') return true
    }
    return false
  }
  return [...document.body.querySelectorAll('*')]
    .filter(element => !clipped(element) && element.getBoundingClientRect().right > width + 0.5)
    .map(element => element.outerHTML.slice(0, 200))
}"""
"""Elements that reach over the right edge of the page, and are in no box that scrolls by itself."""


class OpenPage:
    """A page with its console messages, its requests, and those of them that its policy has blocked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.blocked: list[str] = []
        page.on("console", self._on_message)
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", self._on_failure)

    def _on_message(self, message: ConsoleMessage) -> None:
        self.messages.append(f"{message.type}: {message.text}")

    def _on_failure(self, request: Request) -> None:
        if request.failure == "csp":
            self.blocked.append(request.url)

    def overflowing(self) -> list[str]:
        """Return the elements that make the page wider than the window."""
        found: list[str] = self.page.evaluate(OVERFLOW)
        scrolled = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found + [f"the page scrolls by {scrolled} pixels"] * (scrolled > 0)

    def accessibility_problems(self) -> list[str]:
        """Return the violations of axe-core's rules, one line each, with the first element that violates."""
        source = (files("axe_playwright_python") / "axe.min.js").read_text()
        self.page.evaluate(source)
        result: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(result["passes"]) > 15, "axe-core has looked at nothing"
        return [
            f"{each['id']} ({each['impact']}): {each['help']}: {each['nodes'][0]['html'][:200]}"
            for each in result["violations"]
        ]
