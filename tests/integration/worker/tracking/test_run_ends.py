"""What the end of a job does to its repository and to those who follow it."""

import asyncio
import uuid
from dataclasses import replace
from uuid import UUID

from sqlalchemy import text

from domain.runs import RunOrigin
from domain.tracking.follows import FollowSettings, FollowWhen
from domain.tracking.repository import AnalysisStatus
from domain.tracking.settings import RepositorySettings
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from tests.fixtures.jobs import claim_next, end_attempt, new_run
from tests.integration.worker.tracking.conftest import Tracked
from worker.tracking.run_ends import RunEndApplier

END = FollowSettings(when=FollowWhen.END, notify_url="https://hooks.example.org/end")
GATE = FollowSettings(when=FollowWhen.GATE, notify_url="https://hooks.example.org/gate")
NEVER = FollowSettings(when=FollowWhen.NEVER, notify_url="https://hooks.example.org/never")


async def finish(tracked: Tracked, *, commit: str | None = None, verdict: str | None = "APPROVED") -> None:
    """End the pending job as a worker would: with a run of this verdict, or without one as failed."""
    async with tracked.database.unit_of_work() as work:
        claim = await claim_next(work)
        assert claim is not None
        metadata = claim.job.source_metadata
        branch = metadata["tracked_branch"]
        origin = RunOrigin.from_source(
            claim.job.source_kind, metadata, branch=branch, sha=commit or metadata["tracked_head"]
        )
        run = replace(new_run(claim.job.user_id, claim.job.job_id), origin=origin, options=claim.job.options)
        if verdict is None:
            await end_attempt(work, claim, message="it failed")
            return
        await end_attempt(work, claim, run)
        await work.execute(
            text("UPDATE analysis_runs SET review_verdict = :verdict WHERE run_id = :id"),
            {"verdict": verdict, "id": run.run_id},
        )


async def push(tracked: Tracked, repository_id: UUID, number: int, verdict: str | None) -> None:
    tracked.tree.commit(a_py=f"x = {number}\n")
    await tracked.check(repository_id)
    await finish(tracked, verdict=verdict)
    await applier(tracked).apply_all()


def applier(tracked: Tracked) -> RunEndApplier:
    return RunEndApplier(tracked.database, lambda: None)


async def notices(tracked: Tracked) -> list[tuple[str, str, UUID]]:
    async with tracked.database.unit_of_work() as work:
        rows = await work.execute(text("SELECT url, status, repository_id FROM notices ORDER BY created_at, url"))
        return [(row.url.rpartition("/")[2], row.status, row.repository_id) for row in rows]


async def test_a_completed_run_moves_status_time_and_head(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    newer = tracked.tree.commit(a_py="x = 2\n")  # pushed before the job fetched
    await finish(tracked, commit=newer)
    assert await applier(tracked).apply_all() == 1
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.heads) == (AnalysisStatus.COMPLETED, {"main": newer})
    assert found.last_analyzed is not None
    await tracked.check(repository_id)
    assert len(await tracked.jobs()) == 1  # the run has this commit already
    assert await applier(tracked).apply_all() == 0


async def test_the_head_of_a_later_check_stays(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    newer = tracked.tree.commit(a_py="x = 2\n")
    await tracked.check(repository_id)
    await finish(tracked)
    await applier(tracked).apply_all()
    found = await tracked.get(repository_id)
    assert found.heads == {"main": newer}
    assert found.analysis_status is AnalysisStatus.IN_PROGRESS  # the second job has not ended
    await finish(tracked)
    await applier(tracked).apply_all()
    assert (await tracked.get(repository_id)).analysis_status is AnalysisStatus.COMPLETED


async def test_a_failed_job_shows_and_is_not_repeated_before_a_push(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    await finish(tracked, verdict=None)
    await applier(tracked).apply_all()
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.last_error) == (AnalysisStatus.FAILED, "it failed")
    assert found.last_analyzed is None
    await tracked.check(repository_id)
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.last_error) == (AnalysisStatus.FAILED, "it failed")
    assert len(await tracked.jobs()) == 1
    await push(tracked, repository_id, 7, "APPROVED")
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.last_error) == (AnalysisStatus.COMPLETED, None)


async def test_a_cancelled_job_shows_too(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    (job,) = await tracked.client.list_jobs(tracked.user_id)
    await tracked.client.cancel_job(tracked.user_id, job.job_id)
    await applier(tracked).apply_all()
    assert (await tracked.get(repository_id)).last_error == "cancelled by user"


async def test_followers_are_told_when_they_want_to_be(tracked: Tracked) -> None:
    repository_id = await tracked.add(settings=RepositorySettings(public=True))
    await tracked.tick()
    repositories = tracked.client.repositories
    for number, settings in enumerate((END, GATE, NEVER)):
        follower = await tracked.client.get_or_create_user(f"f{number}@example.org")
        await repositories.follow(follower, repository_id, settings)
    await finish(tracked, verdict="NOT_EVALUATED")
    await applier(tracked).apply_all()
    told = [[each[0] for each in await notices(tracked)]]
    for number, verdict in enumerate(("APPROVED", "REJECTED", "REJECTED", None, "APPROVED")):
        before = len(await notices(tracked))
        await push(tracked, repository_id, 10 + number, verdict)
        told.append(sorted(each[0] for each in (await notices(tracked))[before:]))
    assert told == [["end"], ["end"], ["end", "gate"], ["end"], ["end"], ["end", "gate"]]
    assert {each[2] for each in await notices(tracked)} == {repository_id}


async def test_a_follower_s_delivery_is_not_shown_to_the_owner(tracked: Tracked) -> None:
    repository_id = await tracked.add(settings=RepositorySettings(public=True, notify_url="https://own.example.org/x"))
    follower = await tracked.client.get_or_create_user("follower@example.org")
    await tracked.client.repositories.follow(follower, repository_id, END)
    await tracked.tick()
    await finish(tracked)
    await applier(tracked).apply_all()
    (job,) = await tracked.client.list_jobs(tracked.user_id)
    deliveries = await tracked.client.list_webhook_deliveries(tracked.user_id, job.job_id)
    assert [delivery.url for delivery in deliveries] == ["https://own.example.org/x"]
    assert "repository_id" not in deliveries[0].message()
    async with tracked.database.unit_of_work() as work:
        claimed = await WebhookDeliveryRepository(work).claim_due(5, 60, per_host=5, under_way={})
    (told,) = [delivery for delivery in claimed if delivery.user_id == follower]
    assert (told.url, told.message()["repository_id"]) == (END.notify_url, str(repository_id))


async def test_each_end_is_applied_once_by_replicas_at_the_same_time(tracked: Tracked) -> None:
    follower = await tracked.client.get_or_create_user("follower@example.org")
    settings = RepositorySettings(public=True)
    repository_id = await tracked.add(settings=settings)
    await tracked.client.repositories.follow(follower, repository_id, END)
    for number in range(8):
        tracked.tree.commit(a_py=f"x = {number}\n")
        await tracked.check(repository_id)
        await finish(tracked)
    applied = await asyncio.gather(*(applier(tracked).apply_all() for _ in range(4)))
    assert sum(applied) == 8
    assert len(await notices(tracked)) == 8


async def test_a_job_with_an_invalid_repository_ends_all_the_same(tracked: Tracked) -> None:
    await tracked.add()
    await tracked.tick()
    renamed = """
        UPDATE jobs SET status = 'pending', options = jsonb_build_object('repository_id', CAST(:value AS text))
    """
    for value in ("nonsense", str(uuid.uuid4())):
        async with tracked.database.unit_of_work() as work:
            await work.execute(text(renamed), {"value": value})
            await work.execute(text("UPDATE jobs SET status = 'failed', finished_at = now()"))
    assert await applier(tracked).apply_all() == 1
    assert await notices(tracked) == []


async def test_another_user_s_job_does_not_move_a_repository(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    other = await tracked.client.get_or_create_user("eve@example.org")
    async with tracked.database.unit_of_work() as work:
        await work.execute(text("UPDATE jobs SET user_id = :other"), {"other": other})
    await finish(tracked, commit="b" * 40)
    await applier(tracked).apply_all()
    assert (await tracked.get(repository_id)).heads == {"main": tracked.tree.head()}


async def test_insights_and_statistics_are_the_repository_s(tracked: Tracked) -> None:
    repository_id = await tracked.add(settings=RepositorySettings(public=True))
    await tracked.tick()
    await finish(tracked)
    await set_scores(tracked, 60.0, "8 days")
    await push(tracked, repository_id, 1, "APPROVED")
    await push(tracked, repository_id, 2, "APPROVED")
    await set_scores(tracked, 72.5, "1 hour", newest=2)
    follower = await tracked.client.get_or_create_user("follower@example.org")
    await tracked.client.repositories.follow(follower, repository_id, NEVER)
    assert (await tracked.client.repositories.statistics(tracked.user_id, repository_id)).runs == 0
    counted = await asyncio.gather(*(applier(tracked).count_once_per_slot() for _ in range(3)))
    assert sum(counted) == 1
    statistics = await tracked.client.repositories.statistics(tracked.user_id, repository_id)
    assert (statistics.runs, statistics.recent_runs, statistics.followers) == (3, 2, 1)
    assert (statistics.latest_score, statistics.improvement, statistics.trending) == (72.5, 12.5, 24.5)
    (trending,) = await tracked.client.repositories.trending(follower)
    assert (trending.repository.repository_id, trending.statistics) == (repository_id, statistics)
    assert trending.repository.settings == {"public": True}


async def set_scores(tracked: Tracked, score: float, ago: str, newest: int = 1) -> None:
    statement = """
        UPDATE analysis_runs SET quality_score = :score, created_at = now() - CAST(CAST(:ago AS text) AS interval)
        WHERE run_id IN (SELECT run_id FROM analysis_runs ORDER BY created_at DESC LIMIT :newest)
    """
    async with tracked.database.unit_of_work() as work:
        await work.execute(text(statement), {"score": score, "ago": ago, "newest": newest})
