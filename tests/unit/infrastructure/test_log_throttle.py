"""Log lines that repeat while a problem lasts."""

import pytest

from infrastructure.observability import log_throttle
from infrastructure.observability.log_throttle import LogThrottle


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
