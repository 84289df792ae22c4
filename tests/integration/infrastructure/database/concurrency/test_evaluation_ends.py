"""The end of an evaluation: once, with the last of its members, however that ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from domain.audit import Actor
from domain.evaluations.evaluation import EvaluationStatus, MemberState
from domain.jobs import MAX_ATTEMPTS, Claim
from infrastructure.database.engine import Database
from infrastructure.database.evaluations.evaluations import EvaluationRepository
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository
from infrastructure.database.repositories.attempts import AttemptRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.control.evaluations import claim_all, complete, fail, run_of, submit_evaluation
from tests.fixtures.jobs import backdate, claim_next, end_attempt, submit
from tests.fixtures.waiting import until
from tests.integration.infrastructure.database.concurrency.test_lock_order import Interleaving
from worker.client import Client

COUNT_ENDS = (
    "CREATE TABLE evaluation_ends (id uuid)",
    """
    CREATE FUNCTION log_evaluation_end() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO evaluation_ends VALUES (NEW.id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER log_evaluation_end AFTER UPDATE ON evaluation_runs FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed')) EXECUTE FUNCTION log_evaluation_end()
    """,
)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(autouse=True)
async def counted_ends(database: Database) -> None:
    async with database.unit_of_work() as work:
        for statement in COUNT_ENDS:
            await work.execute(text(statement))


async def ends(database: Database) -> int:
    async with database.unit_of_work() as work:
        return int(await work.scalar(text("SELECT count(*) FROM evaluation_ends")) or 0)


async def states(client: Client, user_id: UUID, evaluation_id: UUID) -> tuple[str, list[str]]:
    """Return the evaluation's status, and its members' states in the order of their submission."""
    evaluation = await client.evaluations.get(user_id, evaluation_id)
    return str(evaluation.summary.status), [str(member.outcome.state) for member in evaluation.members]


async def test_the_last_member_ends_the_evaluation(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id, ["human", "m", "m"])).summary.evaluation_id
    first, second, third = await claim_all(database, 3)
    assert await states(client, user_id, evaluation_id) == ("pending", ["running"] * 3)
    run_id = await complete(database, first)
    assert await states(client, user_id, evaluation_id) == ("running", ["completed", "running", "running"])
    await fail(database, second)
    assert await ends(database) == 0
    await complete(database, third)
    assert await states(client, user_id, evaluation_id) == ("completed", ["completed", "failed", "completed"])
    assert await ends(database) == 1
    evaluation = await client.evaluations.get(user_id, evaluation_id)
    assert evaluation.summary.finished_at is not None
    assert [member.outcome.run_id for member in evaluation.members][:2] == [run_id, None]
    assert evaluation.members[1].outcome.reason == "it failed"
    async with database.unit_of_work() as work:
        found = await work.scalars(text("SELECT evaluation_id FROM analysis_runs"))
        assert set(found) == {evaluation_id}


async def test_two_last_members_that_end_at_the_same_time(client: Client, user_id: UUID, database: Database) -> None:
    """The second transaction must not decide before the first one has committed: each would see the other open."""
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    async with database.unit_of_work() as holder:
        await end_attempt(holder, first, run_of(first))
        later = asyncio.create_task(complete(database, second))

        async def waits() -> bool:
            async with database.unit_of_work() as work:
                return bool(await work.scalar(text(WAITING)))

        await until(waits)
        assert not later.done()
    await later
    assert await states(client, user_id, evaluation_id) == ("completed", ["completed", "completed"])
    assert await ends(database) == 1


async def test_many_members_that_end_at_once(client: Client, user_id: UUID, database: Database) -> None:
    """Five evaluations, whose members end in any order and batch: no deadlock, and each ends once."""
    async with database.unit_of_work() as work:
        await work.execute(text("INSERT INTO users (email) SELECT n || '@example.org' FROM generate_series(1, 4) AS n"))
    users = [user_id, *[await client.get_or_create_user(f"{number}@example.org") for number in range(1, 5)]]
    evaluations = [
        (user, (await submit_evaluation(client, user, ["human", "m", "m", "n"])).summary.evaluation_id)
        for user in users
    ]
    claims = await claim_all(database, 20)

    async def end(batch: list[Claim]) -> None:
        async with database.unit_of_work() as work:
            await AttemptEndRepository(work).end([AttemptEnd(claim=each, message="x", kind="x") for each in batch])

    # Batches that take the evaluations in opposite orders.
    batches = [claims[start::10] for start in range(10)]
    await asyncio.gather(*(end(batch if number % 2 else batch[::-1]) for number, batch in enumerate(batches)))
    for user, evaluation_id in evaluations:
        assert await states(client, user, evaluation_id) == ("failed", ["failed"] * 4)
    assert await ends(database) == 5


async def test_user_is_deleted_while_the_last_member_ends(client: Client, user_id: UUID, database: Database) -> None:
    """The end holds the user and the job, and waits for the evaluation, which the deletion would lock last."""
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    await complete(database, first)
    interleaving = Interleaving(database)
    async with interleaving.holding("evaluation_runs", "id", evaluation_id):
        await interleaving.start(lambda work: end_attempt(work, second, run_of(second)))
        await interleaving.start(lambda work: UserRepository(work).delete(user_id, 100))
    async with database.unit_of_work() as work:
        for table in ("users", "evaluation_runs", "analysis_runs", "jobs"):
            assert await work.scalar(text(f"SELECT count(*) FROM {table}")) == 0  # noqa: S608 - names of this module


async def test_evaluation_is_deleted_while_a_member_is_retried_and_a_run_deleted(
    client: Client, user_id: UUID, database: Database
) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    run_id = await complete(database, first)
    await fail(database, second)
    interleaving = Interleaving(database)
    async with interleaving.holding("evaluation_runs", "id", evaluation_id):
        await interleaving.start(lambda work: JobRepository(work).retry_failed(second.job.job_id))
        await interleaving.start(lambda work: EvaluationRepository(work).delete(evaluation_id, Actor()))
        await interleaving.start(lambda work: RunRepository(work).delete(run_id))
    # The retry came first and reopened it, so it was not deleted.
    assert await states(client, user_id, evaluation_id) == ("running", ["deleted", "pending"])


async def test_members_that_end_in_one_batch(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    async with database.unit_of_work() as work:
        run = SerializedRun.of(run_of(first))
        await AttemptEndRepository(work).end(
            [AttemptEnd(claim=first, run=run), AttemptEnd(claim=second, kind="x", message="broken")]
        )
    assert await states(client, user_id, evaluation_id) == ("completed", ["completed", "failed"])
    assert await ends(database) == 1


async def cancel_pending(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as work:
        await JobRepository(work).request_cancel(job_id)


async def cancel_running(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as work:
        claim = await claim_next(work)
        assert claim is not None
        await JobRepository(work).request_cancel(job_id)
    async with database.unit_of_work() as work:
        await AttemptRepository(work).requeue(job_id, claim.lease_token)


async def fail_last_attempt(database: Database, job_id: str) -> None:
    for _ in range(MAX_ATTEMPTS):
        async with database.unit_of_work() as work:
            claim = await claim_next(work)
            assert claim is not None
            await AttemptRepository(work).retry_later(job_id, claim.lease_token, "x", "away", delay_seconds=0)


async def lose_every_worker(database: Database, job_id: str) -> None:
    for _ in range(MAX_ATTEMPTS):
        async with database.unit_of_work() as work:
            assert await claim_next(work) is not None
            await work.execute(
                text("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE status = 'running'")
            )
            await MaintenanceRepository(work).rescue_expired(10)


async def become_stale(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as work:
        await backdate(work, "jobs", "job_id", job_id, run_after=100)
        await CleanupRepository(work).fail_stale_pending(50, 10)


async def lose_its_lease_and_become_stale(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as work:
        assert await claim_next(work) is not None
        await backdate(work, "jobs", "job_id", job_id, started_at=100, lease_expires_at=100)
        await CleanupRepository(work).fail_stale_running(50, 10)


async def be_deleted_by_another_program(database: Database, job_id: str) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text("DELETE FROM jobs WHERE job_id = :id"), {"id": job_id})
        await work.execute(text("UPDATE evaluation_runs SET updated_at = now() - interval '2 hours'"))
    async with database.unit_of_work() as work:
        assert (await CleanupRepository(work).end_abandoned_evaluations(10)).rows == 1
        assert (await CleanupRepository(work).end_abandoned_evaluations(10)).rows == 0


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (cancel_pending, MemberState.CANCELLED),
        (cancel_running, MemberState.CANCELLED),
        (fail_last_attempt, MemberState.FAILED),
        (lose_every_worker, MemberState.FAILED),
        (become_stale, MemberState.FAILED),
        (lose_its_lease_and_become_stale, MemberState.FAILED),
        (be_deleted_by_another_program, MemberState.DELETED),
    ],
)
async def test_every_way_in_which_the_last_member_ends(
    client: Client,
    user_id: UUID,
    database: Database,
    last: Callable[[Database, str], Awaitable[None]],
    state: MemberState,
) -> None:
    evaluation = await submit_evaluation(client, user_id)
    (first,) = await claim_all(database, 1)
    await complete(database, first)
    await last(database, evaluation.members[1].declared.job_id)
    evaluation = await client.evaluations.get(user_id, evaluation.summary.evaluation_id)
    assert evaluation.summary.status is EvaluationStatus.COMPLETED
    assert [member.outcome.state for member in evaluation.members] == [MemberState.COMPLETED, state]
    assert evaluation.members[1].outcome.reason
    assert await ends(database) == 1


async def test_status_that_another_program_wrote_has_no_results(
    client: Client, user_id: UUID, database: Database
) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE evaluation_runs SET status = 'completed'"))
    assert await states(client, user_id, evaluation_id) == ("completed", ["deleted", "deleted"])


async def test_evaluation_without_any_result_has_failed(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    for claim in await claim_all(database, 2):
        await fail(database, claim)
    assert await states(client, user_id, evaluation_id) == ("failed", ["failed", "failed"])


async def test_retried_member_reopens_the_evaluation(client: Client, user_id: UUID, database: Database) -> None:
    evaluation = await submit_evaluation(client, user_id)
    evaluation_id = evaluation.summary.evaluation_id
    first, second = await claim_all(database, 2)
    await complete(database, first)
    await fail(database, second)
    await client.retry_job(user_id, evaluation.members[1].declared.job_id)
    assert await states(client, user_id, evaluation_id) == ("running", ["completed", "pending"])
    assert (await client.evaluations.get(user_id, evaluation_id)).summary.finished_at is None
    (again,) = await claim_all(database, 1)
    await complete(database, again)
    assert await states(client, user_id, evaluation_id) == ("completed", ["completed", "completed"])
    assert await ends(database) == 2


async def test_results_of_members_stay_when_jobs_and_runs_are_deleted(
    client: Client, user_id: UUID, database: Database
) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    run_id = await complete(database, first)
    await client.take_result(user_id, first.job.job_id)  # the run stays
    await complete(database, second)
    before = await client.evaluations.results(user_id, evaluation_id)
    await client.delete_run(user_id, run_id)
    assert await client.evaluations.results(user_id, evaluation_id) == before
    assert before["left_out"] == []


async def test_run_deleted_before_the_end_is_named(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    await client.delete_run(user_id, await complete(database, first))
    await complete(database, second)
    assert await states(client, user_id, evaluation_id) == ("completed", ["deleted", "completed"])
    (left_out,) = (await client.evaluations.results(user_id, evaluation_id))["left_out"]
    assert (left_out["source"], left_out["state"]) == ("human0.py", "deleted")


async def test_job_that_names_anothers_evaluation_changes_nothing(
    client: Client, user_id: UUID, database: Database
) -> None:
    """Another program may write any options; the members of an evaluation are those of its own list."""
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    members = await claim_all(database, 2)
    other = await client.get_or_create_user("bob@example.org")
    foreign = await submit(database, other)
    async with database.unit_of_work() as work:
        values = {"id": foreign.job_id, "options": f'{{"evaluation_id": "{evaluation_id}"}}'}
        await work.execute(text("UPDATE jobs SET options = CAST(:options AS jsonb) WHERE job_id = :id"), values)
    (claim,) = await claim_all(database, 1)
    await complete(database, claim)
    assert await states(client, user_id, evaluation_id) == ("running", ["running", "running"])
    for member in members:
        await complete(database, member)
    assert await states(client, user_id, evaluation_id) == ("completed", ["completed", "completed"])


@pytest.mark.parametrize("options", ['{"evaluation_id": "x"}', '{"evaluation_id": 7}', "[]", '"x"'])
async def test_options_of_another_program_do_not_stop_an_end(user_id: UUID, database: Database, options: str) -> None:
    job = await submit(database, user_id)
    async with database.unit_of_work() as work:
        values = {"id": job.job_id, "options": options}
        await work.execute(text("UPDATE jobs SET options = CAST(:options AS jsonb) WHERE job_id = :id"), values)
        claim = await claim_next(work)
        assert claim is not None
        released = await AttemptRepository(work).retry_later(job.job_id, claim.lease_token, "x", "x", delay_seconds=0)
    assert released is not None


async def test_job_of_no_evaluation_costs_no_statement(user_id: UUID, database: Database) -> None:
    await submit(database, user_id)
    (claim,) = await claim_all(database, 1)
    statements: list[str] = []
    async with database.unit_of_work() as work:

        def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        event.listen(work.sync_connection, "before_cursor_execute", record)
        await end_attempt(work, claim, run_of(claim))
    assert len(statements) == 1
    assert "evaluation_runs" not in statements[0]
