"""The client's calls about evaluations: what they store, refuse, list and delete."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.errors import IllegalTransitionError, InvalidInputError, LimitExceededError, NotFoundError
from domain.evaluations.evaluation import EvaluationCursor, EvaluationStatus, MemberState
from domain.options import JobOptions
from infrastructure.database.engine import Database
from infrastructure.database.evaluations.ending import end_abandoned, end_members, reopen
from infrastructure.database.evaluations.evaluations import EvaluationRepository
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.control.evaluations import claim_all, complete, fail, item, submit_evaluation
from tests.fixtures.jobs import PYTHON_FILE
from worker.client import Client, EvaluationItem, RepositorySubmission, UploadSubmission

REPOSITORY = RepositorySubmission(url="https://github.com/owner/repo")
TWO = [item("human"), item("a model", 1)]


async def count(database: Database, table: str) -> int:
    async with database.unit_of_work() as work:
        return int(await work.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


async def test_submission_stores_what_was_declared(client: Client, user_id: UUID, database: Database) -> None:
    items = [
        EvaluationItem(
            source=RepositorySubmission(url="https://github.com/owner/repo"), author_type="human", author_model="Ann"
        ),
        item("a model", 1, task="sort"),
    ]
    evaluation = await client.evaluations.submit(
        user_id, name=" Mine ", items=items, description="Why", dataset_name="small"
    )
    summary = evaluation.summary
    assert (summary.name, summary.description, summary.dataset_name) == ("Mine", "Why", "small")
    assert (summary.model_name, summary.status, summary.members) == ("a model", EvaluationStatus.PENDING, 2)
    people, model = (member.declared for member in evaluation.members)
    assert (people.source, people.author.label, people.task) == ("https://github.com/owner/repo", "human", "")
    assert (model.source, model.author.label, model.task) == ("a model1.py", "a model", "sort")
    assert {member.outcome.state for member in evaluation.members} == {MemberState.PENDING}
    job = await client.get_job(user_id, model.job_id)
    assert job.options == {"evaluation_id": str(summary.evaluation_id)}
    assert job.source_metadata["author_model"] == "a model"
    assert "Ann" not in str(await client.get_job(user_id, people.job_id))
    async with database.unit_of_work() as work:
        entries = await work.execute(text("SELECT action, resource_type FROM audit_logs"))
        assert sorted((row.action, row.resource_type) for row in entries) == [
            ("submit", "evaluation"), ("submit", "job"), ("submit", "job")
        ]  # fmt: skip


async def test_two_models_have_no_common_name(client: Client, user_id: UUID) -> None:
    evaluation = await submit_evaluation(client, user_id, ["human", "m", "n"])
    assert evaluation.summary.model_name is None


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "there is no project to evaluate"),
        ([item("m", 1), item("m", 2)], "it names no author but 'm'"),
        ([item("human"), item("=1+1", 1)], "item 2: source '=1.1.*' begins as a formula"),
        ([*TWO, item("human", 9, task="\x00")], "item 3: task .* printable"),
        ([*TWO, item("human")], "item 3: the source is that of item 1"),
        (
            [EvaluationItem(source=REPOSITORY, author_type=kind, author_model="m") for kind in ("human", "ai")],
            "item 2: the source is that of item 1",
        ),
        (
            [
                *TWO,
                EvaluationItem(
                    source=UploadSubmission(filename="a.py", content=b"x", idempotency_key="k"), author_type="human"
                ),
            ],
            "item 3: a project of an evaluation has no idempotency key",
        ),
        (
            [*TWO, EvaluationItem(source=UploadSubmission(filename="a.txt", content=b"x"), author_type="human")],
            "submission 3 of 3: 'a.txt' is neither a .py nor a .zip file",
        ),
        ([item(f"m{number}", number) for number in range(11)], "11 authors are more than 10"),
        ([item(("human", "m")[number % 2], number) for number in range(1_001)], "1001 projects are more than 1000"),
    ],
)  # fmt: skip
async def test_bad_items_are_refused_and_nothing_is_stored(
    client: Client, user_id: UUID, database: Database, items: list[EvaluationItem], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        await client.evaluations.submit(user_id, name="x", items=items)
    assert str(caught.value).isprintable()
    assert (await count(database, "jobs"), await count(database, "evaluation_runs")) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "an evaluation needs a name"),
        ({"name": "x" * 201}, "name has 201 characters; it may have 200"),
        ({"name": "a\x00"}, "name .* printable"),
        ({"description": "x" * 2_001}, "description has 2001"),
        ({"dataset_name": "@x"}, "dataset_name '@x' begins as a formula"),
    ],
)
async def test_bad_texts_are_refused(client: Client, user_id: UUID, changes: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"name": "x", "items": TWO, **changes}
    with pytest.raises(InvalidInputError, match=message):
        await client.evaluations.submit(user_id, **values)


async def test_members_count_for_the_owners_limits(client: Client, user_id: UUID, database: Database) -> None:
    await submit_evaluation(client, user_id, ["human", "m", "m", "m"])
    with pytest.raises(LimitExceededError, match="you already have 4 unfinished jobs"):
        await client.evaluations.submit(user_id, name="x", items=[item("human", 8), item("n", 9)])
    assert (await count(database, "jobs"), await count(database, "evaluation_runs")) == (4, 1)
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)


async def test_racing_submissions_never_pass_a_limit(client: Client, user_id: UUID, database: Database) -> None:
    calls = [
        client.evaluations.submit(user_id, name="x", items=[item("human", 2 * n), item("m", 2 * n + 1)])
        for n in range(20)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, LimitExceededError) for answer in answers) == 18
    assert (await count(database, "jobs"), await count(database, "evaluation_runs")) == (4, 2)


async def test_other_submissions_cannot_join_an_evaluation(client: Client, user_id: UUID) -> None:
    evaluation = await submit_evaluation(client, user_id)
    options = JobOptions(evaluation_id=evaluation.summary.evaluation_id)
    with pytest.raises(InvalidInputError, match="evaluation_id cannot be given"):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, options=options)


async def test_results_need_the_end_of_all_projects(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    first, second = await claim_all(database, 2)
    await complete(database, first, 1)
    with pytest.raises(IllegalTransitionError, match="the evaluation is running: 1 of its 2 projects have not ended"):
        await client.evaluations.results(user_id, evaluation_id)
    await complete(database, second, 2)
    results = await client.evaluations.results(user_id, evaluation_id)
    assert [(group["author"], group["projects"]) for group in results["groups"]] == [("human", 1), ("a model", 1)]
    assert {pair["reason"] for pair in results["overall"]["pairs"]} == {"too few projects"}


async def test_cancelled_evaluation_ends_with_its_members(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id, ["human", "m", "m"])).summary.evaluation_id
    (first,) = await claim_all(database, 1)
    cancelled = await client.evaluations.cancel(user_id, evaluation_id)
    assert cancelled.summary.status is EvaluationStatus.RUNNING  # its worker ends the one that runs
    assert [str(each.outcome.state) for each in cancelled.members] == ["running", "cancelled", "cancelled"]
    await fail(database, first)
    evaluation = await client.evaluations.get(user_id, evaluation_id)
    assert evaluation.summary.status is EvaluationStatus.FAILED
    assert {member.outcome.reason for member in evaluation.members} == {"cancelled by user"}
    with pytest.raises(IllegalTransitionError, match="the evaluation is failed: there is nothing to cancel"):
        await client.evaluations.cancel(user_id, evaluation_id)


async def test_deletion_keeps_jobs_and_runs(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    with pytest.raises(IllegalTransitionError, match="the evaluation is pending: cancel it before you delete it"):
        await client.evaluations.delete(user_id, evaluation_id)
    for claim in await claim_all(database, 2):
        await complete(database, claim)
    await client.evaluations.delete(user_id, evaluation_id)
    with pytest.raises(NotFoundError):
        await client.evaluations.get(user_id, evaluation_id)
    assert await count(database, "jobs") == 2
    async with database.unit_of_work() as work:
        assert (await work.scalars(text("SELECT evaluation_id FROM analysis_runs"))).all() == [None, None]
        query = "SELECT details ->> 'name' FROM audit_logs WHERE action = 'delete_evaluation'"
        assert (await work.scalars(text(query))).all() == ["Two authors"]


async def test_list_is_in_pages_newest_first(client: Client, user_id: UUID, database: Database) -> None:
    for number in range(5):
        await submit_evaluation(client, user_id, name=f"number {number}")
        await client.evaluations.cancel(user_id, (await client.evaluations.list(user_id))[0].evaluation_id)
    other = await client.get_or_create_user("bob@example.org")
    await submit_evaluation(client, other)
    names: list[str] = []
    after: EvaluationCursor | None = None
    while page := await client.evaluations.list(user_id, limit=2, after=after):
        assert len(page) <= 2
        names += [summary.name for summary in page]
        after = page[-1].cursor
    assert names == [f"number {number}" for number in (4, 3, 2, 1, 0)]
    for limit in (-1, 0, 1, 10**30):
        assert await client.evaluations.list(user_id, limit=limit)


async def test_evaluation_is_found_by_the_beginning_of_its_id(client: Client, user_id: UUID) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    other = await client.get_or_create_user("bob@example.org")
    assert await client.evaluations.find_id(user_id, str(evaluation_id)[:8]) == evaluation_id
    assert await client.evaluations.find_id(user_id, evaluation_id.hex[:10]) == evaluation_id
    for user, prefix in ((other, str(evaluation_id)[:8]), (user_id, "zz"), (user_id, "\x00"), (user_id, "")):
        with pytest.raises(NotFoundError) as caught:
            await client.evaluations.find_id(user, prefix)
        assert str(caught.value).isprintable()


FILL = (
    """
    INSERT INTO users (id, email)
    SELECT gen_random_uuid(), 'filler' || n || '@example.org' FROM generate_series(1, 100) AS n
    """,
    """
    CREATE TEMPORARY TABLE fillers ON COMMIT DROP AS SELECT array_agg(id) AS ids FROM users
    WHERE email LIKE 'filler%'
    """,
    """
    INSERT INTO evaluation_runs (user_id, name, status, config, created_at, updated_at)
    SELECT fillers.ids[1 + n % 100], 'x', CASE WHEN n % 1000 = 0 THEN 'running' ELSE 'completed' END,
        jsonb_build_object('members', jsonb_build_array(jsonb_build_object('job_id', 'job-' || n))),
        now() - make_interval(secs => n), now() - make_interval(secs => n)
    FROM generate_series(1, 100000) AS n, fillers
    """,
    """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata)
    SELECT 'job-' || n, fillers.ids[1 + n % 100], CASE WHEN n % 1000 = 0 THEN 'running' ELSE 'completed' END,
        'github', '{}'
    FROM generate_series(1, 100000) AS n, fillers
    """,
    """
    INSERT INTO analysis_runs (user_id, job_id, submission_type, metrics, evaluation_id)
    SELECT jobs.user_id, jobs.job_id, 'github', '{}', evaluation.id
    FROM jobs JOIN evaluation_runs AS evaluation ON evaluation.config -> 'members' -> 0 ->> 'job_id' = jobs.job_id
    """,
)  # fmt: skip


async def test_no_statement_reads_a_whole_table(client: Client, user_id: UUID, database: Database) -> None:
    evaluation_id = (await submit_evaluation(client, user_id)).summary.evaluation_id
    async with database.unit_of_work() as work:
        for statement in FILL:
            await work.execute(text(statement))
    async with database.autocommit() as connection:
        for table in ("evaluation_runs", "jobs", "analysis_runs", "users"):
            await connection.execute(text(f"ANALYZE {table}"))
    cursor = EvaluationCursor(
        created_at=(await client.evaluations.get(user_id, evaluation_id)).summary.created_at + timedelta(hours=1),
        evaluation_id=uuid4(),
    )
    calls: dict[str, Any] = {
        "get": lambda work: EvaluationRepository(work).get(evaluation_id),
        "summary": lambda work: EvaluationRepository(work).summary(evaluation_id),
        "list": lambda work: EvaluationRepository(work).list_evaluations(user_id, limit=20, after=cursor),
        "find": lambda work: EvaluationRepository(work).find_id(str(evaluation_id)[:8], user_id),
        "delete": lambda work: EvaluationRepository(work).delete(evaluation_id, client._actor),
        "delete_of_user": lambda work: EvaluationRepository(work).delete_of_user(user_id, 100),
        "end": lambda work: end_members(work, [evaluation_id]),
        "reopen": lambda work: reopen(work, [evaluation_id]),
        "abandoned": lambda work: end_abandoned(work, 100),
    }
    for name, call in calls.items():
        plan = await plans_of(database, call)
        print(f"{name}: {'no sequential scan' if 'Seq Scan' not in plan else plan}")
        for table in ("evaluation_runs", "jobs", "analysis_runs"):
            assert f"Seq Scan on {table}" not in plan, (name, plan)
