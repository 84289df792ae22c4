"""When a worker counts as dead: both signs of its life gone, in every look of three seconds."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from domain.errors import ServiceUnavailableError
from domain.jobs import LEASE_SECONDS
from infrastructure.redis.worker_registry import Report
from worker.jobs import dead_workers
from worker.jobs.dead_workers import GONE_SECONDS, LOOK_SECONDS, MAX_PAUSE_SECONDS, DeadWorkerDetector

SERVER = 5


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Signs:
    """What Redis and PostgreSQL say about the workers: silent ones, those without a lock, and outages."""

    def __init__(self) -> None:
        self.silent: Sequence[str] = ("w",)
        self.lockless: Sequence[str] = ("w",)
        self.redis_away = self.postgresql_away = False
        self.statements = 0

    async def read_silent(self, _: float) -> list[Report]:
        if self.redis_away:
            raise ServiceUnavailableError("Redis")
        return [Report(name, SERVER) for name in self.silent]

    async def lockless_workers(self, servers: Mapping[str, int]) -> list[str]:
        self.statements += 1
        if self.postgresql_away:
            raise ServiceUnavailableError("PostgreSQL")
        assert set(servers.values()) == {SERVER}
        return [name for name in self.lockless if name in servers]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(dead_workers, "time", clock)
        yield clock


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Signs:
    signs = Signs()
    monkeypatch.setattr(dead_workers, "MaintenanceRepository", lambda _: signs)
    return signs


@pytest.fixture
def detector(clock: Clock, signs: Signs) -> DeadWorkerDetector:
    @asynccontextmanager
    async def autocommit() -> AsyncIterator[None]:
        yield

    return DeadWorkerDetector(
        database=Mock(autocommit=autocommit),
        registry=Mock(silent=signs.read_silent),
        lock=Mock(server=SERVER, regained_at=float("-inf")),
        rescuer=Mock(),
    )


async def looks(detector: DeadWorkerDetector, clock: Clock, seconds: float, step: float = LOOK_SECONDS) -> list[str]:
    """Look until so much time has passed, and return what the last look has found."""
    end, found = clock.now + seconds, await detector.look()
    while clock.now < end:
        clock.now += step
        found = await detector.look()
    return found


async def test_worker_without_both_signs_of_life_for_three_seconds_is_dead(
    detector: DeadWorkerDetector, clock: Clock
) -> None:
    assert await looks(detector, clock, GONE_SECONDS - LOOK_SECONDS) == []
    assert await looks(detector, clock, LOOK_SECONDS) == ["w"]


async def test_one_statement_a_look_and_none_while_all_workers_report(
    detector: DeadWorkerDetector, clock: Clock, signs: Signs
) -> None:
    await detector.look()
    assert signs.statements == 1
    signs.silent = ()
    await looks(detector, clock, 2.0)
    assert signs.statements == 1


@pytest.mark.parametrize("change", [{"silent": ()}, {"lockless": ()}])
async def test_sign_of_life_begins_the_three_seconds_again(
    detector: DeadWorkerDetector, clock: Clock, signs: Signs, change: dict[str, Any]
) -> None:
    await looks(detector, clock, GONE_SECONDS - LOOK_SECONDS)
    before = {name: getattr(signs, name) for name in change}
    vars(signs).update(change)
    clock.now += LOOK_SECONDS
    assert await detector.look() == []
    vars(signs).update(before)
    clock.now += LOOK_SECONDS
    assert await looks(detector, clock, GONE_SECONDS - LOOK_SECONDS) == []
    assert await looks(detector, clock, LOOK_SECONDS) == ["w"]


@pytest.mark.parametrize("service", ["redis_away", "postgresql_away"])
async def test_observer_that_cannot_read_a_service_knows_nothing(
    detector: DeadWorkerDetector, clock: Clock, signs: Signs, service: str
) -> None:
    await looks(detector, clock, GONE_SECONDS - LOOK_SECONDS)
    setattr(signs, service, True)
    clock.now += LOOK_SECONDS
    with pytest.raises(ServiceUnavailableError):
        await detector.look()
    setattr(signs, service, False)
    clock.now += LOOK_SECONDS
    assert await looks(detector, clock, GONE_SECONDS - LOOK_SECONDS) == []
    assert await looks(detector, clock, LOOK_SECONDS) == ["w"]


async def test_observer_that_was_stopped_between_two_looks_begins_again(
    detector: DeadWorkerDetector, clock: Clock
) -> None:
    await detector.look()
    clock.now += max(MAX_PAUSE_SECONDS, GONE_SECONDS) + 1
    assert await detector.look() == []
    assert await looks(detector, clock, GONE_SECONDS) == ["w"]


@pytest.mark.parametrize("lock", [{"server": None}, {"regained_at": 1000.0}])
async def test_observer_whose_own_lock_was_lost_leaves_the_decision_to_the_lease(
    detector: DeadWorkerDetector, clock: Clock, lock: dict[str, Any]
) -> None:
    for name, value in lock.items():
        setattr(detector.lock, name, value)
    assert await looks(detector, clock, LEASE_SECONDS) == []
    detector.lock.server = SERVER
    assert await looks(detector, clock, GONE_SECONDS + 2 * LOOK_SECONDS) == ["w"]
