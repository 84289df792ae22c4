"""Counts of the fuzz tests' inputs by outcome, summed over all processes and printed at the end."""

from typing import Any

import pytest

from tests.fuzz.generators import EXAMPLES_FACTOR, OUTCOMES


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fuzz"] = dict(OUTCOMES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    OUTCOMES.update(getattr(node, "workeroutput", {}).get("fuzz", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if OUTCOMES:
        terminalreporter.section(
            f"fuzz ({'short and repeatable' if not EXAMPLES_FACTOR else f'{EXAMPLES_FACTOR} times as long'})"
        )
        for name, count in sorted(OUTCOMES.items()):
            terminalreporter.write_line(f"{count:>8}  {name}")
        terminalreporter.write_line(f"{OUTCOMES.total():>8}  inputs in all")
