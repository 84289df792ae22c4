"""The HTML report in Chromium: its width, its colours, its accessibility, and what its policy forbids."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest

from tests.browser.conftest import OpenReport
from tests.browser.open_page import OpenPage
from tests.unit.worker.export.sample_reports import early_run, large_run, rejected_run, small_run, with_texts

A4_WIDTH = 703
"""Pixels between the margins of a page, at 96 an inch."""

HOSTILE_TEXT = "</style></script><script>alert(1)</script>\u202e" + "x" * 300 + "<img src=x onerror=alert(1)>"


def hostile_run() -> dict[str, Any]:
    made: dict[str, Any] = with_texts(small_run(), repeat(HOSTILE_TEXT))
    return made


MakeRun = Callable[[], dict[str, Any]]
runs = pytest.mark.parametrize("make_run", [rejected_run, early_run, hostile_run])
widths = pytest.mark.parametrize("width", [360, 800, 1440])
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


@runs
@widths
@schemes
def test_page_fits_its_window_is_accessible_and_complains_of_nothing(
    open_report: OpenReport, make_run: MakeRun, width: int, scheme: str
) -> None:
    check(open_report(make_run(), width=width, scheme=scheme))


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_page_of_many_files_does_so_too(open_report: OpenReport, width: int, scheme: str) -> None:
    check(open_report(large_run(500, 2_000), width=width, scheme=scheme))


def check(opened: OpenPage) -> None:
    assert opened.overflowing() == []
    assert opened.accessibility_problems() == []
    assert opened.messages == []
    assert opened.requests == [opened.page.url]


def test_problems_are_found_where_there_are_some(open_report: OpenReport) -> None:
    opened = open_report(small_run())
    opened.page.evaluate(
        """() => {
          document.documentElement.removeAttribute('lang')
          const wide = document.createElement('p')
          wide.textContent = 'x'
          wide.setAttribute('width', '1')
          wide.style.setProperty('width', '5000px')
          document.querySelector('main').append(wide)
        }"""
    )
    assert any("5000" in problem or "scrolls by" in problem for problem in opened.overflowing())
    assert any(problem.startswith("html-has-lang") for problem in opened.accessibility_problems())


@pytest.mark.parametrize(
    ("directive", "markup"),
    [
        ("script-src", "<script>document.title = 'changed'</script>"),
        ("style-src", "<style>body { display: none }</style>"),
        ("style-src", "<p style='color: red'>x</p>"),
        ("img-src", "<img src='https://example.invalid/x.png' alt=''>"),
        ("base-uri", "<base href='https://example.invalid/'>"),
    ],
)
def test_policy_forbids_what_markup_could_bring(open_report: OpenReport, directive: str, markup: str) -> None:
    opened = open_report(small_run())
    opened.page.evaluate(
        "markup => document.body.append(document.createRange().createContextualFragment(markup))", markup
    )
    opened.page.wait_for_function("() => true")
    refused = [message for message in opened.messages if "Content Security Policy" in message]
    assert refused, opened.messages
    assert directive in refused[0] or "default-src" in refused[0]
    assert opened.page.title() == "Shop - vibe8 report"
    assert [url for url in opened.requests if url not in opened.blocked] == [opened.page.url]


@schemes
def test_colours_follow_the_scheme(open_report: OpenReport, scheme: str) -> None:
    opened = open_report(small_run(), scheme=scheme)
    colours = opened.page.evaluate(
        "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name].match(/[0-9]+/g).map(Number))"
    )
    background, text = (sum(colour[:3]) for colour in colours)
    assert (background > text) is (scheme == "light")


def test_page_is_printed_whole(open_report: OpenReport) -> None:
    opened = open_report(rejected_run(), width=A4_WIDTH)
    row = opened.page.locator("details:not([open]) td").first
    assert not row.is_visible()
    opened.page.emulate_media(media="print")
    assert row.is_visible()
    assert opened.page.locator("nav").is_hidden()
    assert opened.overflowing() == []
    assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_page_can_be_read_without_script(browser: Any, tmp_path: Any, open_report: OpenReport) -> None:
    opened = open_report(rejected_run())
    with_script = opened.page.inner_text("main")
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(opened.page.url)
    assert page.inner_text("main") == with_script
    context.close()
