"""The HTML report keeps hostile texts as text, and its content security policy allows one style sheet alone."""

import base64
import hashlib
import math
import re
from itertools import cycle, islice, repeat
from typing import Any

import pytest
from hypothesis import given

from tests.fuzz.generators import fuzz_settings
from tests.hostile.support.naughty_strings import UNSAFE
from tests.unit.worker.export.html_pages import Page, page_of
from tests.unit.worker.export.sample_reports import early_run, large_run, rejected_run, small_run, with_texts
from tests.unit.worker.export.sample_runs import HOSTILE, hostile_documents
from worker.export.html.charts.svg import element

MARKS = (
    *HOSTILE,
    "</style><style>*{display:none}</style>",
    "</title><img src=x onerror=alert(1)>",
    '" onload="alert(1)" x=\'',
    "' style='color:red",
    "<!-- --> <![CDATA[ ]]>",
    "&lt;script&gt;",
    "{{ 7 * 7 }}{% include 'x' %}",
)
POLICY = "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"


@pytest.fixture(scope="module")
def own() -> Page:
    """All pages without hostile text, read as one: the elements that are ours."""
    pages = [page_of(document) for document in (rejected_run(), early_run(), large_run(50, 9))]
    all_of_them = pages[0]
    for page in pages[1:]:
        all_of_them.elements += page.elements
    return all_of_them


def check_page(page: Page, own: Page) -> None:
    """Assert that no element, attribute, class or link is another than in pages without hostile text."""
    assert page.shapes <= own.shapes
    for name in ("class", "href", "role", "id"):
        assert set(page.values(name)) <= set(own.values(name))
    assert not UNSAFE.search(page.markup)
    page.markup.encode()
    assert page.style == own.style


def test_policy_names_the_hash_of_the_only_style_sheet(own: Page) -> None:
    page = page_of(rejected_run())
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policies = [attributes["content"] for _, attributes in page.elements if attributes.get("http-equiv") is not None]
    assert policies == [POLICY.format(f"sha256-{digest}")]
    assert [tag for tag, _ in page.elements].count("style") == 1
    assert page.markup.index("Content-Security-Policy") < page.markup.index("<style>")


def test_page_has_no_script_no_style_attribute_and_no_reference(own: Page) -> None:
    tags = {tag for tag, _ in own.elements}
    names = {name for _, attributes in own.elements for name in attributes}
    assert not tags & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
        "image",
        "foreignobject",
    }
    assert not [name for name in names if name == "style" or name.startswith("on") or name in ("src", "xlink:href")]
    assert {href[0] for href in own.values("href")} == {"#"}
    assert "<script" not in own.markup
    assert " style=" not in own.markup
    assert "@import" not in own.style
    assert "url(" not in own.style


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("everywhere", [False, True])
def test_hostile_texts_are_text(turn: int, own: Page, *, everywhere: bool) -> None:
    marks = cycle(MARKS)
    document = with_texts(rejected_run(), islice(marks, turn * 17, None), everywhere=everywhere)
    check_page(page_of(document), own)


@pytest.mark.parametrize("mark", MARKS)
def test_hostile_text_in_all_places_at_once_is_text(mark: str, own: Page) -> None:
    check_page(page_of(with_texts(small_run(), repeat(mark))), own)


@pytest.mark.parametrize("mark", MARKS)
def test_hostile_names_of_metrics_and_tools_are_text(mark: str, own: Page) -> None:
    document = small_run()
    document["review"]["verdict"] = mark
    document["metrics"] |= {mark: {mark: 1, "by_role": mark}}
    document["completeness"]["collectors"] |= {mark: mark, "lint": mark}
    document["tool_versions"] |= {mark: mark}
    document["standing"]["percentiles"] |= {mark: 50}
    document["comparison"]["counts"] |= {mark: {mark: {"new": {"source": 1}}}}
    document["trend"] = {"points": [{"values": {mark: 1}}, {"values": {mark: 2}}], "reason": mark}
    check_page(page_of(document), own)


def test_characters_that_hide_or_reorder_text_are_shown_as_escapes() -> None:
    page = page_of(with_texts(small_run(), repeat("\x00\u202e\u2066\u200b")))
    assert r"sho\x00\u202e\u2066\u200bp/payments" in page.text("gate")
    assert page.text("header").startswith(r"Sho\x00\u202e\u2066\u200bp - vibe8 report")


def test_hostile_documents_give_pages_of_text(own: Page) -> None:
    @fuzz_settings(40)
    @given(result=hostile_documents())
    def check(result: dict[str, Any]) -> None:
        check_page(page_of(result), own)

    check()


@pytest.mark.parametrize(
    "value", [None, -1, math.nan, 10**400, "x", [], [{}], {"x": []}], ids=lambda value: str(value)[:9]
)
def test_values_of_any_type_in_any_place_give_a_page(value: Any, own: Page) -> None:
    document = small_run()
    for key, part in document.items():
        if key != "findings":  # `read_run` reads it for all forms
            check_page(page_of(document | {key: value}), own)
        if isinstance(part, dict) and key not in ("findings", "file_tree"):
            check_page(page_of(document | {key: dict.fromkeys(part, value)}), own)
    for key, part in document["history"].items():
        if isinstance(part, dict):
            history = document["history"] | {key: dict.fromkeys(part, value)}
            check_page(page_of(document | {"history": history}), own)
    broken = {
        "insights": [dict.fromkeys(item, value) for item in document["insights"]],
        "trend": {"points": [dict.fromkeys(item, value) for item in document["trend"]["points"]]},
    }
    criteria = [dict.fromkeys(item, value) for item in document["review"]["criteria"]]
    check_page(page_of(document | broken | {"review": document["review"] | {"criteria": criteria}}), own)


def test_image_refuses_attributes_that_it_has_no_use_for() -> None:
    assert str(element("rect", x=1.25, class_='a"b')) == '<rect x="1.2" class="a&quot;b"/>'
    assert str(element("text", "<b>&")) == "<text>&lt;b&gt;&amp;</text>"
    for name in ("style", "onclick", "href"):
        with pytest.raises(ValueError, match=f"an image has no attribute {re.escape(name)}"):
            element("rect", **{name: "x"})
