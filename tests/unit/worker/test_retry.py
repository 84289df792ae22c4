"""Retries while a service is unavailable."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from domain.errors import PermanentError, ServiceUnavailableError
from worker import retry
from worker.retry import OutageTimer, retry_while_unavailable


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


def failing(times: int, error: type[Exception] = ServiceUnavailableError) -> Callable[[], Coroutine[Any, Any, int]]:
    """Return a call that fails so often and then returns how often it was called."""
    calls = 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error(f"failure {calls}")
        return calls

    return call


async def test_a_call_is_repeated_until_it_succeeds(clock: Clock) -> None:
    assert await retry_while_unavailable(failing(1000), OutageTimer(math.inf, delay_seconds=2.0)) == 1001
    assert clock.now == 2100.0


async def test_the_last_error_is_raised_when_the_outage_lasts_too_long(clock: Clock) -> None:
    with pytest.raises(ServiceUnavailableError, match="failure 5"):
        await retry_while_unavailable(failing(1000), OutageTimer(3.0))  # the fourth failure comes after just 3 s
    with pytest.raises(ServiceUnavailableError, match="failure 3"):
        await retry_while_unavailable(failing(1000), OutageTimer(3.0, started_at=clock.now - 1.5))


async def test_a_success_ends_the_outage(clock: Clock) -> None:
    outage, error = OutageTimer(1.0), ServiceUnavailableError("failure")
    for _ in range(5):
        await outage.wait(error)
        await outage.wait(error)
        outage.reset()
    await outage.wait(error)
    await outage.wait(error)
    with pytest.raises(ServiceUnavailableError):
        await outage.wait(error)


async def test_other_errors_are_not_retried(clock: Clock) -> None:
    with pytest.raises(PermanentError, match="failure 1"):
        await retry_while_unavailable(failing(1, PermanentError), OutageTimer(math.inf))
