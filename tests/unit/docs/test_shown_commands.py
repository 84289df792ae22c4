"""Every command line of `vibe8` that a page or a help text shows has only commands and options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.unit.docs.test_pages import PAGES, code_spans
from worker.cli.app import app

TREE: Any = typer.main.get_command(app)


def unknown_part(line: str) -> str | None:
    """Return the first command or option of the line that does not exist. None where all do."""
    command: Any = TREE
    plain = re.sub(r"[|<>)].*|[\[\]]", "", re.sub(r"\$\(.*?\)", "X", line))
    for word in shlex.split(plain, comments=True)[1:]:
        if word.startswith("--"):
            name = word.partition("=")[0]
            if name not in {"--help", *(option for each in command.params for option in each.opts)}:
                return f"{command.name} {name}"
        elif nested := getattr(command, "commands", None):
            if word not in nested:
                return f"{command.name} {word}"
            command = nested[word]
    return None


def shown(page: Path) -> list[str]:
    """List the command lines of a page, in its text and in its shell blocks."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    found = (re.search(r"(?:^|[(/]|[A-Z_0-9]+=\S+ )(vibe8 [a-z].*)", line) for line in (*code_spans(page), *lines))
    return [each[1] for each in found if each is not None]


def epilogs(command: Any) -> Iterator[str]:
    """Yield the lines of the help texts' examples."""
    for nested in getattr(command, "commands", {}).values():
        yield from re.findall(r"vibe8 [a-z].*", nested.epilog or "")
        yield from epilogs(nested)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_shown_command_lines_have_options_that_exist(page: Path) -> None:
    assert [(line, unknown) for line in shown(page) if (unknown := unknown_part(line))] == []


def test_examples_of_the_help_texts_have_options_that_exist() -> None:
    lines = list(epilogs(TREE))
    assert len(lines) > 40
    assert [(line, unknown) for line in lines if (unknown := unknown_part(line))] == []


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("vibe8 jobs --operator", "jobs --operator"),
        ("vibe8 repo find x", "repo find"),
        ("vibe8 retry --since 1h --operator --yes  # after an outage", None),
        ("vibe8 trend PROJECT [--branch B]", None),
    ],
)
def test_a_command_line_is_checked(line: str, unknown: str | None) -> None:
    assert unknown_part(line) == unknown
