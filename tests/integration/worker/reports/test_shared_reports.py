"""Shared reports: what others see of a run, until when, how often, and with which password."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.audit import Actor
from domain.errors import (
    InvalidInputError,
    NotFoundError,
    ReportGoneError,
    ReportPasswordError,
    ServiceUnavailableError,
    TooManyAttemptsError,
)
from domain.history.document import NO_HISTORY, missing_history
from domain.reports import CODE_LENGTH, ReportCursor, SharedReport
from domain.runs import RunOrigin
from infrastructure.database.access.reports import ReportRepository
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.redis import report_passwords
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.jobs import new_run
from tests.fixtures.worker_process import System
from worker.client import Client, ExportFormat

PERSON = "Ada Lovelace"
FACTOR = {"people": 1, "names": [PERSON], "covered": 1.0}
OWNERSHIP = {
    "people": 1, "truck_factor": FACTOR, "truck_factor_without_silent": FACTOR, "total": 1,
    "files": [{
        "path": "a.py", "main_author": PERSON, "share": 1.0, "added": 3, "commits": 1, "people": 1, "minor_authors": 0,
        "fragmentation": 0.0, "known_by": 1,
    }],
}  # fmt: skip
TREE = {
    "name": "root", "type": "directory", "path": "",
    "children": [{
        "name": "a.py", "type": "file", "path": "a.py", "extension": ".py", "size": 1, "digest": None, "role": "source",
        "metrics": {"health_score": None, "health_without_churn": None},
    }],
}  # fmt: skip
LIMIT = 10


async def stored(database: Database, user_id: UUID, **changes: Any) -> UUID:
    history = {**missing_history(NO_HISTORY), "reason": None, "ownership": OWNERSHIP}
    origin = RunOrigin(submission_type="upload", upload_filename="a.py", author_type="human", author_model=PERSON)
    run = replace(new_run(user_id, uuid.uuid4().hex, history=history, file_tree=TREE), **{"origin": origin, **changes})
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return run.run_id


@pytest.fixture
async def run_id(database: Database, user_id: UUID) -> UUID:
    return await stored(database, user_id)


async def change(database: Database, code: str, assignment: str) -> None:
    async with database.unit_of_work() as work:
        done = await work.execute(text(f"UPDATE reports SET {assignment} WHERE short_code = :code"), {"code": code})  # noqa: S608
    assert done.rowcount == 1


async def outcomes(*calls: Any) -> list[Any]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_a_report_shows_the_run_without_the_names_of_people(
    database: Database, client: Client, user_id: UUID, run_id: UUID
) -> None:
    own = (await client.export_run(user_id, run_id, ExportFormat.HTML)).decode()
    assert PERSON in own
    assert "noindex" not in own
    report = await client.reports.create(user_id, run_id)
    seen = await client.reports.view(report.code)
    assert PERSON not in seen.decode()
    assert '<meta name="robots" content="noindex, nofollow">' in seen.decode()
    assert "What was not measured" in seen.decode()
    assert await client.reports.view(report.code) == seen
    assert (await client.reports.get(user_id, report.code)).view_count == 2
    model = await stored(
        database, user_id, origin=RunOrigin(submission_type="upload", author_type="ai", author_model="model-7")
    )
    assert b"model-7" in await client.reports.view((await client.reports.create(user_id, model)).code)


async def test_codes_are_listed_newest_first_page_by_page(client: Client, user_id: UUID, run_id: UUID) -> None:
    made = [await client.reports.create(user_id, run_id) for _ in range(5)]
    assert len({report.code for report in made}) == 5
    assert all(len(report.code) == CODE_LENGTH and report.code.isalnum() for report in made)
    found: list[SharedReport] = []
    while page := await client.reports.list(user_id, limit=2, after=found[-1].cursor if found else None):
        found += page
    assert [report.code for report in found] == [report.code for report in made[::-1]]
    assert found[0] == made[-1]


async def test_unknown_withdrawn_and_deleted_codes_answer_alike(
    client: Client, database: Database, user_id: UUID, run_id: UUID
) -> None:
    withdrawn = await client.reports.create(user_id, run_id, password="secret")
    assert not (await client.reports.withdraw(user_id, withdrawn.code)).is_public
    assert not (await client.reports.withdraw(user_id, withdrawn.code)).is_public
    deleted = await client.reports.create(user_id, await stored(database, user_id))
    await client.reports.view(deleted.code)
    await client.delete_run(user_id, deleted.run_id)
    hostile = ["' OR '1'='1", "\0", "\ud800", "", "x" * CODE_LENGTH, "x" * 10**6, "../..", withdrawn.code.swapcase()]
    answers = await outcomes(*(client.reports.view(code) for code in [withdrawn.code, deleted.code, *hostile]))
    assert {type(answer) for answer in answers} == {NotFoundError}
    assert {str(answer) for answer in answers} == {"there is no such report"}
    async with database.unit_of_work() as work:
        rows = await work.execute(text("SELECT action, details FROM audit_logs WHERE resource_type = 'report'"))
        logged = [(row.action, row.details["run_id"]) for row in rows]
    of_run = str(run_id)
    assert sorted(logged) == sorted([("share", of_run), ("unshare", of_run), ("share", str(deleted.run_id))])


async def test_an_expired_report_is_gone(client: Client, database: Database, user_id: UUID, run_id: UUID) -> None:
    report = await client.reports.create(user_id, run_id, expires_at=datetime.now(UTC) + timedelta(days=30))
    await client.reports.view(report.code)
    await change(database, report.code, "expires_at = now() - interval '1 second'")
    with pytest.raises(ReportGoneError, match="has expired"):
        await client.reports.view(report.code)
    assert (await client.reports.get(user_id, report.code)).view_count == 1
    with pytest.raises(InvalidInputError, match="must expire in the future"):
        await client.reports.create(user_id, run_id, expires_at=datetime.now(UTC))


async def test_a_hundred_racing_views_never_pass_the_maximum(client: Client, user_id: UUID, run_id: UUID) -> None:
    report = await client.reports.create(user_id, run_id, max_views=LIMIT)
    answers = await outcomes(*(client.reports.view(report.code) for _ in range(100)))
    assert sum(isinstance(answer, bytes) for answer in answers) == LIMIT
    assert {type(answer) for answer in answers if not isinstance(answer, bytes)} == {ReportGoneError}
    found = await client.reports.get(user_id, report.code)
    assert found.view_count == LIMIT
    assert found.last_viewed_at is not None
    assert found.updated_at > found.created_at


async def test_a_preview_does_not_count(client: Client, user_id: UUID, run_id: UUID) -> None:
    report = await client.reports.create(user_id, run_id, max_views=1)
    previews = [await client.reports.view(report.code, counts=False) for _ in range(3)]
    assert await client.reports.view(report.code) == previews[0]
    with pytest.raises(ReportGoneError, match="as often as it may"):
        await client.reports.view(report.code, counts=False)


# Passwords


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of passwords that were being checked as each check began. A check takes 20 ms instead of 200."""
    begun: list[int] = []
    running: set[object] = set()

    def matches(password: bytes, stored: str) -> bool:
        running.add(mine := object())
        begun.append(len(running))
        time.sleep(0.02)
        running.remove(mine)
        return password == b"right" and stored == "hash"

    monkeypatch.setattr(report_passwords, "_hash", lambda _: "hash")
    monkeypatch.setattr(report_passwords, "_matches", matches)
    return begun


async def test_a_password_is_needed(client: Client, database: Database, user_id: UUID, run_id: UUID) -> None:
    report = await client.reports.create(user_id, run_id, password="Käse und Brot")
    assert report.has_password
    for given in (None, "kase", "x" * 10_000_000, "\ud800", ""):
        with pytest.raises(ReportPasswordError) as refused:
            await client.reports.view(report.code, given)
        assert refused.value.given == (given is not None)
    assert b"<!DOCTYPE html>" in await client.reports.view(report.code, "Ka\u0308se und Brot")
    assert (await client.reports.get(user_id, report.code)).view_count == 1
    async with database.unit_of_work() as work:
        stored_hash = await work.scalar(text("SELECT password_hash FROM reports"))
    assert str(stored_hash).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_a_password_that_is_too_long_is_refused_before_it_is_hashed(
    client: Client, user_id: UUID, run_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_passwords, "_hash", None)
    with pytest.raises(InvalidInputError, match="at most 1024 bytes"):
        await client.reports.create(user_id, run_id, password="x" * 10_000_000)
    assert await client.reports.list(user_id) == []


async def test_five_wrong_passwords_of_an_address_in_a_minute_and_then_none(
    client: Client, user_id: UUID, run_id: UUID, checks: list[int]
) -> None:
    report = await client.reports.create(user_id, run_id, password="right")
    other = await client.reports.create(user_id, run_id, password="right")
    answers = await outcomes(*(client.reports.view(report.code, f"guess {number}") for number in range(100)))
    assert len(checks) == 5
    assert max(checks) == 1
    kinds = [type(answer) for answer in answers]
    assert (kinds.count(ReportPasswordError), kinds.count(TooManyAttemptsError)) == (5, 95)
    with pytest.raises(TooManyAttemptsError) as refused:
        await client.reports.view(report.code, "right")
    assert 0 < refused.value.reset_seconds <= 60
    assert await client.reports.view(other.code, "right")  # each code has its own
    redis = client._connections.vault._redis
    keys = [key async for key in redis.scan_iter("vibe8:report:*")]
    assert len(keys) == 4, "one of the address and one of all, for each code"
    assert report.code.encode() not in b"".join(keys)
    await redis.delete(*keys)  # as when the minute is over
    assert await client.reports.view(report.code, "right")


async def test_right_passwords_are_not_counted_and_one_is_checked_at_a_time(
    client: Client, user_id: UUID, run_id: UUID, checks: list[int]
) -> None:
    report = await client.reports.create(user_id, run_id, password="right")
    assert all(await asyncio.gather(*(client.reports.view(report.code, "right") for _ in range(30))))
    assert len(checks) == 30
    assert max(checks) == 1


async def test_without_redis_no_password_is_checked(
    client: Client, system: System, user_id: UUID, run_id: UUID, checks: list[int]
) -> None:
    locked = await client.reports.create(user_id, run_id, password="right")
    open_report = await client.reports.create(user_id, run_id)
    away = system.with_settings(REDIS_URL="redis://127.0.0.1:1/0")
    async with Client.open(away.settings, lazy_redis=True) as offline:
        assert await offline.reports.view(open_report.code)
        with pytest.raises(ServiceUnavailableError):
            await offline.reports.view(locked.code, "right")
    assert checks == []


# Badges


async def test_a_badge_tells_nothing_of_a_code_that_shows_nothing(
    client: Client, database: Database, user_id: UUID
) -> None:
    run_id = await stored(database, user_id)
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE analysis_runs SET quality_score = 87.4"))
    shown = await client.reports.create(user_id, run_id, max_views=1)
    assert b"87 / 100" in await client.reports.badge(shown.code)
    assert b'"message":"87 / 100"' in await client.reports.badge(shown.code, ExportFormat.BADGE_JSON)
    assert (await client.reports.get(user_id, shown.code)).view_count == 0
    locked = await client.reports.create(user_id, run_id, password="secret")
    withdrawn = await client.reports.create(user_id, run_id)
    await client.reports.withdraw(user_id, withdrawn.code)
    expired = await client.reports.create(user_id, run_id)
    await change(database, expired.code, "expires_at = now()")
    grey = await client.reports.badge("x" * CODE_LENGTH)
    assert b"unknown" in grey
    for code in (locked.code, withdrawn.code, expired.code, "\0", "", "x" * 10**6):
        assert await client.reports.badge(code) == grey
    with pytest.raises(InvalidInputError, match="no form of a badge"):
        await client.reports.badge(shown.code, ExportFormat.HTML)


# Statements


async def test_no_statement_reads_all_of_100_000_reports(database: Database, user_id: UUID, run_id: UUID) -> None:
    async with database.unit_of_work() as work:
        await work.execute(
            text("""
                INSERT INTO analysis_runs (user_id, submission_type, metrics)
                SELECT :user_id, 'upload', '{}' FROM generate_series(1, 1000)
            """),
            {"user_id": user_id},
        )
        await work.execute(
            text("""
                INSERT INTO reports (run_id, owner_id, short_code, created_at)
                SELECT run_id, user_id, left(md5(random()::text), 22), now() - number * interval '1 second'
                FROM analysis_runs, generate_series(1, 100) AS number
            """)
        )
    async with database.autocommit() as work:
        await work.execute(text("ANALYZE reports"))
        report_id = (await ReportRepository(work).list_reports(user_id, limit=1))[0].report_id
    after = ReportCursor(created_at=datetime.now(UTC), report_id=report_id)
    calls: Mapping[str, Callable[[ReportRepository], Any]] = {
        "find": lambda reports: reports.find("0" * CODE_LENGTH),
        "first page": lambda reports: reports.list_reports(user_id, limit=50),
        "later page": lambda reports: reports.list_reports(user_id, limit=50, after=after),
        "view": lambda reports: reports.count_view(report_id),
        "withdraw": lambda reports: reports.withdraw(report_id, Actor()),
        "deletion": lambda reports: reports.delete_of_user(user_id, 1_000),
    }
    for name, call in calls.items():
        plan = await plans_of(database, lambda work, call=call: _tolerant(call(ReportRepository(work))))  # type: ignore[misc]
        assert "Seq Scan" not in plan, (name, plan)
        if "page" in name:
            assert "ix_reports_owner_id_created_at_id" in plan
            assert "Sort" not in plan
    async with database.unit_of_work() as work:
        explained = await work.scalars(text("EXPLAIN DELETE FROM reports WHERE run_id = :id"), {"id": run_id})
    assert "ix_reports_run_id" in "\n".join(explained)  # as the deletion of a run does


async def _tolerant(call: Any) -> None:
    with contextlib.suppress(NotFoundError):
        await call
