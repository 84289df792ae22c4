"""Every test that is marked with a fault is a row of the table that the suite ends with."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.faults.transition_audit import PROPERTY, costs, kept, table


@pytest.fixture(autouse=True)
async def ledger(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> AsyncIterator[None]:
    """What the test's own database says at its end, for the tests that name their fault."""
    marker = request.node.get_closest_marker(PROPERTY)
    if marker is None:
        yield
        return
    async with kept(request.getfixturevalue("database_url"), marker.args[0], record_property):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    found = costs(report for report in reports if report.when == "teardown")
    if found:
        terminalreporter.section("faults")
        for line in table(found):
            terminalreporter.write_line(line)
