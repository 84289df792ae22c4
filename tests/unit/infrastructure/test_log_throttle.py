"""Log lines that repeat while a problem lasts."""

import pytest
from structlog.testing import capture_logs

from domain.errors import ServiceUnavailableError
from infrastructure.observability import log_throttle
from infrastructure.observability.log_throttle import LogThrottle, OutageLog


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(log_throttle, "time", clock)
    return clock


def test_only_the_first_line_is_allowed_until_reset(clock: Clock) -> None:
    throttle = LogThrottle()
    assert throttle.allows()
    clock.now += 10**6
    assert not throttle.allows()
    throttle.reset()
    assert throttle.allows()
    assert not throttle.allows()


def test_a_line_is_allowed_again_after_the_interval(clock: Clock) -> None:
    throttle = LogThrottle(60.0)
    assert throttle.allows()
    clock.now += 59
    assert not throttle.allows()
    clock.now += 1
    assert throttle.allows()
    clock.now += 59
    assert not throttle.allows()


def test_the_end_of_a_problem_is_told_once(clock: Clock) -> None:
    throttle = LogThrottle(60.0)
    assert not throttle.reset()
    throttle.allows()
    assert [throttle.reset(), throttle.reset()] == [True, False]
    assert throttle.allows()


def test_another_event_is_always_allowed(clock: Clock) -> None:
    throttle = LogThrottle(60.0)
    assert throttle.allows("a")
    assert throttle.allows("b")
    assert not throttle.allows("b")
    assert throttle.allows("a")


def test_an_outage_and_its_end_are_logged_once() -> None:
    outage = OutageLog("look.failed")
    with capture_logs() as log:
        for fails in (False, True, True, False, False, True):
            with outage.suppressed():
                if fails:
                    raise ServiceUnavailableError("PostgreSQL is away")
    assert [(entry["event"], entry.get("reason"), entry.get("after")) for entry in log] == [
        ("look.failed", "PostgreSQL is away", None),
        ("service.available", None, "look.failed"),
        ("look.failed", "PostgreSQL is away", None),
    ]


def test_other_errors_are_raised() -> None:
    with pytest.raises(ValueError, match="a bug"), OutageLog("look.failed").suppressed():
        raise ValueError("a bug")
