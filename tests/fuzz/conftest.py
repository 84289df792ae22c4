"""Counts of the fuzz tests' inputs by outcome, summed over all processes and printed at the end."""

from typing import Any

import pytest

from tests.fuzz.generators import COUNTS, FACTOR


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fuzz"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COUNTS.update(getattr(node, "workeroutput", {}).get("fuzz", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section(f"fuzz ({'short and repeatable' if not FACTOR else f'{FACTOR} times as long'})")
        for name, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:>8}  {name}")
        terminalreporter.write_line(f"{COUNTS.total():>8}  inputs in all")
