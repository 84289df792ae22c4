"""The page of an evaluation in Chromium: its width, its accessibility, and what its policy forbids."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.open_page import OpenPage
from tests.browser.test_report_pages import check
from tests.unit.domain.evaluations.sample_evaluations import HUMAN, group, model
from tests.unit.worker.results.test_evaluation_forms import HOSTILE, document, hostile
from worker.results.evaluations.page import evaluation_page


def few_projects() -> dict[str, Any]:
    return document([*group(HUMAN, [1, 2, 3]), *group(model("m" * 100), [4, 5, 6])])


def hostile_names() -> dict[str, Any]:
    return document(hostile(HOSTILE), name=HOSTILE, description=HOSTILE, dataset_name=HOSTILE)


@pytest.mark.parametrize("make", [document, few_projects, hostile_names])
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (800, "dark"), (1440, "light"), (1440, "dark")])
def test_page_fits_its_window_is_accessible_and_complains_of_nothing(
    browser: Browser, tmp_path: Path, make: Callable[[], dict[str, Any]], width: int, scheme: Any
) -> None:
    file = tmp_path / "evaluation.html"
    file.write_bytes(evaluation_page(make()))
    with ExitStack() as stack:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        stack.callback(context.close)
        opened = OpenPage(context.new_page())
        opened.page.goto(file.as_uri())
        check(opened)
