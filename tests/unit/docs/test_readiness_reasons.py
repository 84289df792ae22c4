"""The runbook's table of what `/readyz` says has every reason that the code can give, and no other."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infrastructure.database.errors import translated_errors
from infrastructure.database.migrate import schema_problem
from infrastructure.redis.queue import redis_errors
from tests.unit.deploy.project_files import ROOT
from worker.process.backpressure import Backpressure
from worker.process.health import Health
from worker.process.job_pool import JobPool

PROBES: tuple[Callable[..., Any], ...] = (Health.not_alive_reason, JobPool.pause_reason, Backpressure._measure)
"""The functions whose return values `Health.not_ready_reason` passes on."""

STARTUP = (translated_errors, schema_problem, redis_errors)
"""Sources of the texts for which a starting worker waits (`worker.process.startup`)."""


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts below a node, with N for each value that is inserted."""
    formats = {each.format_spec for each in ast.walk(node) if isinstance(each, ast.FormattedValue)}
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr) and each not in formats:
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "N" for part in each.values)
        elif isinstance(each, ast.IfExp | ast.Return):
            candidates = [each.body, each.orelse] if isinstance(each, ast.IfExp) else [each.value]
            yield from (c.value for c in candidates if isinstance(c, ast.Constant) and isinstance(c.value, str))


def returned(function: Callable[..., Any]) -> set[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return {text for node in returns for text in texts(node)}


def table() -> list[str]:
    """List the texts of the first column; one that ends with `...` is the beginning of several."""
    page = (ROOT / "docs/operations.md").read_text()
    section = page[page.index("### Vibe8ReplicaNotReady") : page.index("### Vibe8ReplicaRestarting")]
    cells = re.findall(r"^\| (`.+?`) \| .+ \|$", section, re.MULTILINE)
    return [text.removesuffix("...").rstrip() for cell in cells for text in re.findall(r"`([^`]+)`", cell)]


REASONS = {*(text for probe in PROBES for text in returned(probe)), Health().waiting_for}
STARTUP_REASONS = {
    text
    for function in STARTUP
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
    for text in (texts(node) if isinstance(node, ast.Return | ast.Raise) else ())
    if " " in text
}


def test_reasons_are_read_from_the_code() -> None:
    assert len(REASONS) == 6
    assert len(STARTUP_REASONS) >= 4


@pytest.mark.parametrize("reason", sorted(REASONS | STARTUP_REASONS))
def test_each_reason_is_in_the_table(reason: str) -> None:
    assert [text for text in table() if reason.startswith(text)], reason


@pytest.mark.parametrize("text", table())
def test_each_text_of_the_table_is_a_reason(text: str) -> None:
    assert [reason for reason in REASONS | STARTUP_REASONS if reason.startswith(text)], text


def test_not_ready_reason_asks_no_other_function() -> None:
    """The list above is complete as long as these calls are all that is asked."""
    called = {
        node.attr
        for function in (Health.not_ready_reason, JobPool.pause_reason, Backpressure.reason)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert {name for name in called if "reason" in name} == {"not_alive_reason", "pause_reason", "reason", "_reason"}
