"""The page on history names every assistant and bot that the code knows, as the code recognises them."""

import re

import pytest

from domain.history.assistants import ASSISTANTS, BOT_NAMES, is_assistant
from tests.unit.deploy.project_files import ROOT

PAGE = (ROOT / "docs/history.md").read_text()
ROWS = dict(re.findall(r"^\| ([A-Z][A-Za-z ]+) \| (.*`.*) \|$", PAGE.partition("## AI share")[2], re.MULTILINE))


def test_each_assistant_has_a_row() -> None:
    assert list(ROWS) == [name for name, _ in ASSISTANTS]


@pytest.mark.parametrize("assistant", ROWS)
def test_names_of_the_table_are_recognised(assistant: str) -> None:
    for text in re.findall(r"`([^`]+)`", ROWS[assistant]):
        known = is_assistant("x", text) if "@" in text else is_assistant(f"x {text}" if "(" in text else text, "x@x")
        assert known, text


def test_each_bot_is_named() -> None:
    assert [name for name in BOT_NAMES if name.replace("\\", "") not in PAGE] == []
