"""When checks are due: schedules, missed ticks, failures, limits, and several replicas."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import ServiceUnavailableError
from domain.plans import PlanLimits, Plans
from domain.tracking.repository import AnalysisStatus
from domain.tracking.settings import RepositorySettings
from infrastructure.database.engine import Database
from infrastructure.database.tracking.checks import CheckRepository, NextCheck
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import Fault
from tests.integration.worker.tracking.conftest import Tracked
from worker.analysis.sandbox_profiles import MAX_CHECKS
from worker.client.repositories.changes import RepositoryChanges
from worker.tracking.head_check import FoundHeads
from worker.tracking.tracker import RepositoryTracker, TrackingServices


async def execute(database: Database, statement: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(statement), values)


async def seconds_to_next_check(tracked: Tracked, repository_id: UUID) -> float:
    query = "SELECT extract(epoch FROM next_check_at - now())::float8 FROM repositories WHERE id = :id"
    async with tracked.database.unit_of_work() as work:
        return float(await work.scalar(text(query), {"id": repository_id}) or 0.0)


async def make_due(tracked: Tracked, repository_id: UUID, ago: str = "3 days") -> None:
    statement = "UPDATE repositories SET next_check_at = now() - CAST(CAST(:ago AS text) AS interval) WHERE id = :id"
    await execute(tracked.database, statement, id=repository_id, ago=ago)


async def test_ticks_that_were_missed_run_once(tracked: Tracked) -> None:
    repository_id = await tracked.add(schedule="*/5 * * * *")
    await tracked.tick()
    tracked.server.requests.clear()
    await make_due(tracked, repository_id)
    await tracked.tick()
    asked = [path for _, path, _ in tracked.server.requests if path.endswith("/info/refs?service=git-upload-pack")]
    assert len(asked) == 1
    assert 0 < await seconds_to_next_check(tracked, repository_id) <= 300
    at = (await tracked.get(repository_id)).next_check_at
    assert (at.minute % 5, at.second, at.utcoffset()) == (0, 0, timedelta())


async def test_nothing_is_checked_before_it_is_due(tracked: Tracked) -> None:
    await tracked.add(schedule="0 0 29 2 *")
    await tracked.tick()
    tracked.tree.commit(a_py="x = 8\n")
    await tracked.tick()
    assert len(await tracked.jobs()) == 1


async def test_failures_back_off_and_a_success_ends_them(tracked: Tracked) -> None:
    repository_id = await tracked.add(schedule="* * * * *")
    await tracked.tick()
    tracked.server.fail("owner/repository", Fault(503))
    delays = []
    for failures in (1, 2, 3):
        await make_due(tracked, repository_id)
        await tracked.tick()
        found = await tracked.get(repository_id)
        assert (found.failures, found.analysis_status) == (failures, AnalysisStatus.FAILED)
        assert "answered 503" in found.last_error
        delays.append(round(await seconds_to_next_check(tracked, repository_id), -1))
    assert delays == [60, 240, 960]
    tracked.server.faults.clear()
    await make_due(tracked, repository_id)
    await tracked.tick()
    found = await tracked.get(repository_id)
    assert (found.failures, found.last_error) == (0, None)
    assert found.analysis_status is AnalysisStatus.IN_PROGRESS  # its job has not ended
    assert await seconds_to_next_check(tracked, repository_id) <= 60


async def test_the_time_of_the_last_check_is_kept_also_of_one_that_failed(tracked: Tracked) -> None:
    repository_id = await tracked.add(schedule="* * * * *")
    assert (await tracked.get(repository_id)).last_checked_at is None
    await tracked.tick()
    first = (await tracked.get(repository_id)).last_checked_at
    tracked.server.fail("owner/repository", Fault(503))
    await make_due(tracked, repository_id)
    await tracked.tick()
    second = (await tracked.get(repository_id)).last_checked_at
    assert datetime.now(UTC) - timedelta(minutes=5) < first < second <= datetime.now(UTC)


async def test_a_check_that_was_asked_for_is_repeated_without_a_schedule_if_its_failure_may_pass(
    tracked: Tracked,
) -> None:
    repository_id = await tracked.add()
    tracked.server.fail("owner/repository", Fault(503))
    await tracked.tick()
    assert await tracked.jobs() == []
    tracked.server.faults.clear()
    await execute(
        tracked.database, "UPDATE repositories SET check_requested_at = now() WHERE check_requested_at > now()"
    )
    await tracked.tick()
    assert len(await tracked.jobs()) == 1
    assert (await tracked.get(repository_id)).next_check_at is None


async def test_a_refusal_by_a_limit_leaves_the_head_for_a_later_check(tracked: Tracked) -> None:
    tracked.services = replace(tracked.services, plans=Plans.same(PlanLimits(unfinished_jobs=1, jobs_per_day=100)))
    tracked.tree.git("branch", "dev")
    main = tracked.tree.head()
    repository_id = await tracked.add(settings=RepositorySettings(branches=("main", "dev")), schedule="hourly")
    await tracked.tick()
    found = await tracked.get(repository_id)
    assert (found.heads, found.failures) == ({"main": main}, 0)
    assert "limit" in found.last_error
    assert 50 <= await seconds_to_next_check(tracked, repository_id) <= 61
    await execute(tracked.database, "UPDATE jobs SET status = 'failed', finished_at = now()")
    await make_due(tracked, repository_id)
    await tracked.tick()
    found = await tracked.get(repository_id)
    assert found.heads == {"main": main, "dev": main}
    assert found.last_error is None
    assert len(await tracked.jobs()) == 2


async def test_a_scheduled_job_counts_for_its_owner(tracked: Tracked) -> None:
    await tracked.add(schedule="daily")
    await tracked.tick()
    async with tracked.database.unit_of_work() as work:
        assert (await work.scalars(text("SELECT submitted FROM daily_usage"))).all() == [1]
        entries = (await work.execute(text("SELECT action, user_id FROM audit_logs ORDER BY created_at"))).all()
    assert {tuple(entry) for entry in entries} == {("track", tracked.user_id), ("submit", tracked.user_id)}


class FixedHeads:
    """Host whose branch is at `commit`; it counts questions and how many are open at a time."""

    def __init__(self, commit: str = "a" * 40) -> None:
        self.commit = commit
        self.asked: list[str] = []
        self.open = self.most_open = 0
        self.before_answer: Callable[[], Any] | None = None

    async def heads(self, url: str, branches: Any, token: str | None) -> FoundHeads:
        self.asked.append(url)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(0)
            if self.before_answer is not None:
                await self.before_answer()
        finally:
            self.open -= 1
        return FoundHeads(default_branch="main", commits={"main": self.commit})


def replica(tracked: Tracked, heads: Any) -> RepositoryTracker:
    return RepositoryTracker(replace(tracked.services, heads=heads))


async def test_replicas_share_the_due_repositories_and_check_each_once(tracked: Tracked) -> None:
    await insert_due(tracked, 60)
    heads = FixedHeads()
    await asyncio.gather(*(replica(tracked, heads).run_until_idle() for _ in range(4)))
    assert len(heads.asked) == len(set(heads.asked)) == 60
    assert heads.most_open <= 4 * MAX_CHECKS
    assert len(await tracked.jobs()) == 60


async def insert_due(tracked: Tracked, count: int) -> None:
    await execute(
        tracked.database,
        """
        INSERT INTO repositories (owner_id, name, full_name, url, clone_url, schedule, next_check_at)
        SELECT :owner, 'r', 'o/r' || n, 'https://127.0.0.1/o/r' || n, 'https://127.0.0.1/o/r' || n, '* * * * *',
            now() - interval '1 hour'
        FROM generate_series(1, :count) AS n
        """,
        owner=tracked.user_id,
        count=count,
    )


async def test_ten_thousand_due_at_once_are_claimed_in_small_batches(tracked: Tracked) -> None:
    await insert_due(tracked, 10_000)
    await execute(tracked.database, "ANALYZE repositories")
    heads = FixedHeads()
    tracker = replica(tracked, heads)
    tracked.services = replace(tracked.services, plans=Plans.same(PlanLimits(unfinished_jobs=5, jobs_per_day=5)))
    for _ in range(20):
        assert await tracker.start_due() <= MAX_CHECKS
        await asyncio.gather(*tracker._tasks)
    assert heads.most_open <= MAX_CHECKS
    # A check that is asked for meanwhile comes next.
    await execute(tracked.database, "UPDATE users SET tier = 'enterprise'")  # which has no limit of repositories
    asked = await tracked.add()
    heads.asked.clear()
    await tracker.start_due()
    await asyncio.gather(*tracker._tasks)
    assert tracked.server.url("owner/repository") in heads.asked
    assert (await tracked.get(asked)).heads == {"main": heads.commit}


async def test_clocks_five_minutes_apart_do_not_matter(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both replicas go by PostgreSQL's clock: neither checks before the time, and one of them does after it."""
    import time as time_module

    repository_id = await tracked.add(schedule="* * * * *")
    heads = FixedHeads()
    await replica(tracked, heads).run_until_idle()
    heads.asked.clear()
    real = time_module.time
    for shift in (300, -300):
        monkeypatch.setattr(time_module, "time", lambda shift=shift: real() + shift)
        await execute(tracked.database, "UPDATE repositories SET next_check_at = now() + interval '60 s'")
        await replica(tracked, heads).run_until_idle()
        assert heads.asked == []
        before = datetime.now(UTC)
        await make_due(tracked, repository_id, "1 second")
        await replica(tracked, heads).run_until_idle()
        assert len(heads.asked) == 1
        heads.asked.clear()
        assert (await tracked.get(repository_id)).next_check_at - before < timedelta(seconds=61)
    assert len(await tracked.jobs()) == 1


async def test_a_check_that_is_asked_for_during_another_is_made_after_it(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    heads = FixedHeads()

    async def push() -> None:
        heads.before_answer = None
        await tracked.client.repositories.check(tracked.user_id, repository_id)

    heads.before_answer = push
    await replica(tracked, heads).run_until_idle()
    assert len(heads.asked) == 2


async def test_changes_of_the_owner_during_a_check_stay(tracked: Tracked) -> None:
    repository_id = await tracked.add(schedule="weekly")
    await tracked.tick()
    await make_due(tracked, repository_id)
    heads = FixedHeads()

    async def reschedule() -> None:
        heads.before_answer = None
        changes = RepositoryChanges(schedule="0 0 29 2 *")
        await tracked.client.repositories.update(tracked.user_id, repository_id, changes)

    heads.before_answer = reschedule
    await replica(tracked, heads).run_until_idle()
    found = await tracked.get(repository_id)
    assert (found.next_check_at.month, found.next_check_at.day) == (2, 29)


async def test_a_repository_that_is_removed_during_its_check_gets_no_job(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    heads = FixedHeads()

    async def remove() -> None:
        await tracked.client.repositories.remove(tracked.user_id, repository_id)

    heads.before_answer = remove
    await replica(tracked, heads).run_until_idle()
    assert await tracked.jobs() == []


async def test_the_owner_who_is_deleted_during_a_check_gets_no_job(tracked: Tracked) -> None:
    await tracked.add()
    heads = FixedHeads()

    async def delete() -> None:
        await tracked.client.delete_user(tracked.user_id)

    heads.before_answer = delete
    await replica(tracked, heads).run_until_idle()
    async with tracked.database.unit_of_work() as work:
        assert (await work.scalars(text("SELECT job_id FROM jobs"))).all() == []


async def test_a_replica_that_hangs_loses_its_claim_and_the_change_has_one_job(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    slow, quick = FixedHeads(), FixedHeads()

    async def lose() -> None:
        await execute(tracked.database, "UPDATE repositories SET check_lease_until = now() - interval '1 s'")
        await replica(tracked, quick).run_until_idle()

    slow.before_answer = lose
    await replica(tracked, slow).run_until_idle()
    assert (len(slow.asked), len(quick.asked)) == (1, 1)
    assert len(await tracked.jobs()) == 1
    assert (await tracked.get(repository_id)).failures == 0


async def test_a_check_that_is_cancelled_is_free_at_once(tracked: Tracked) -> None:
    await tracked.add()
    started = asyncio.Event()
    heads = FixedHeads()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    heads.before_answer = hang
    running = asyncio.create_task(replica(tracked, heads).run())
    await started.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    heads.before_answer = None
    await replica(tracked, heads).run_until_idle()
    assert len(await tracked.jobs()) == 1


async def test_a_claim_writes_nothing_after_another_has_the_repository(tracked: Tracked) -> None:
    await tracked.add()
    async with tracked.database.unit_of_work() as work:
        (claim,) = await CheckRepository(work).claim(5, lease_seconds=60, scheduled=True)
    async with tracked.database.unit_of_work() as work:
        assert await CheckRepository(work).claim(5, lease_seconds=60, scheduled=True) == []
    await execute(tracked.database, "UPDATE repositories SET check_lease_until = now() - interval '1 s'")
    async with tracked.database.unit_of_work() as work:
        (later,) = await CheckRepository(work).claim(5, lease_seconds=60, scheduled=True)
    nothing = NextCheck(scheduled=None)
    async with tracked.database.unit_of_work() as work:
        checks = CheckRepository(work)
        assert not await checks.advance(claim, "main", "a" * 40)
        assert not await checks.succeed(claim, nothing, "main")
        assert not await checks.fail(claim, nothing, "no", None)
        assert not await checks.refuse(claim, nothing, "no")
        assert await checks.succeed(later, nothing, "main")


async def test_redis_that_is_away_does_not_keep_a_job_from_being_stored(
    tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tracked.add()
    services: TrackingServices = tracked.services

    async def refuse(*_: Any, **__: Any) -> None:
        raise ServiceUnavailableError("Redis cannot be reached")

    monkeypatch.setattr(services.queue, "enqueue", refuse)
    await tracked.tick()
    assert len(await tracked.jobs()) == 1


async def test_the_memory_and_the_time_of_a_check_are_limited(
    tracked: Tracked, new_tree: Callable[[str], WorkTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.tracking.head_check.CHECK_SECONDS", 1.0)
    tracked.server.stall("owner/stalled")
    repository_id = await tracked.add("owner/stalled")
    await tracked.tick()
    assert (await tracked.get(repository_id)).last_error == "the git host did not answer within 1 s"
