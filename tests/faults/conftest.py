"""Audits of each test: of its workers' logs, and of its database if it is marked with a fault.

Each fault is a row of the table that the suite prints at its end.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.support.transition_audit import PROPERTY, audited, costs, table
from tests.fixtures.checks.attempt_ends import check_completed_attempts


@pytest.fixture(autouse=True)
def log_audit(tmp_path: Path) -> Iterator[None]:
    """Check that no attempt of the test has two ends in the logs of its workers."""
    yield
    check_completed_attempts(tmp_path.rglob("*.log"))


@pytest.fixture(autouse=True)
async def transition_audit(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> AsyncIterator[None]:
    """Audit the test's database if the test names a fault."""
    marker = request.node.get_closest_marker(PROPERTY)
    if marker is None:
        yield
        return
    async with audited(request.getfixturevalue("database_url"), marker.args[0], record_property):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    found = costs(report for report in reports if report.when == "teardown")
    if found:
        terminalreporter.section("faults")
        for line in table(found):
            terminalreporter.write_line(line)
