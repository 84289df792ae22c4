"""What operators see beside jobs: ends by minute, checks of tracked repositories, and webhooks, which they resend."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from domain.errors import InvalidInputError, NotFoundError
from domain.statistics.ends import Outcome
from domain.webhooks import DeliveryState
from infrastructure.database.engine import Database
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.queue import connect
from tests.fixtures.network.http_service import Tokens, http_client
from tests.fixtures.network.webhook_server import webhook_receiver
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http import create_app

OPS = "/api/v1/ops"
SECRET = "s" * 40
DELIVERIES = """
    INSERT INTO notices (
        notice_id, job_id, user_id, url, status, finished_at, attempt, due_at, delivered_at, given_up_at, last_error)
    SELECT md5('n' || number)::uuid, md5('j' || number), :user_id, 'https://hooks.example.org/secret' || number,
        'failed', now(), number, now() + make_interval(secs => number),
        CASE number % 3 WHEN 1 THEN now() - make_interval(secs => number) END,
        CASE number % 3 WHEN 2 THEN now() - make_interval(secs => number) END,
        CASE number % 3 WHEN 1 THEN NULL ELSE 'HTTP 500' END
    FROM generate_series(1, CAST(:size AS integer)) AS number
"""


async def insert(database: Database, statement: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(statement), values)


async def all_pages(http: httpx.AsyncClient, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    """Read a list two by two."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {**query, "limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = await http.get(f"{OPS}{path}", params=query)
        assert answer.status_code == 200, answer.text
        found += answer.json()[name]
        if (cursor := answer.json()["next"]) is None:
            return found


async def test_webhooks_are_listed_by_state_page_by_page(
    ann_http: httpx.AsyncClient, database: Database, user_id: UUID
) -> None:
    await insert(database, DELIVERIES, user_id=user_id, size=12)
    waiting = await all_pages(ann_http, "/webhooks", "webhooks", state="waiting")
    given_up = await all_pages(ann_http, "/webhooks", "webhooks", state="given up")
    ended = await all_pages(ann_http, "/webhooks", "webhooks")
    assert [each["attempt"] for each in waiting] == [3, 6, 9, 12], "the next to be sent comes first"
    assert [each["attempt"] for each in given_up] == [2, 5, 8, 11], "the newest comes first"
    assert [each["attempt"] for each in ended] == [1, 2, 4, 5, 7, 8, 10, 11]
    assert {each["host"] for each in (*waiting, *ended)} == {"hooks.example.org"}
    assert "secret" not in str((waiting, ended)), "a URL may hold a secret"
    assert (waiting[0]["owner"], waiting[0]["state"]) == ("ann@example.org", "waiting")
    refused = await ann_http.get(f"{OPS}/webhooks", params={"state": "delivered"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


async def test_a_webhook_that_was_given_up_is_sent_again(
    ann_http: httpx.AsyncClient, database: Database, client: Client, system: System, user_id: UUID
) -> None:
    async with webhook_receiver() as receiver:
        allowing = system.with_settings(WEBHOOK_SECRETS=SECRET, WEBHOOK_ALLOWED_HOSTS=receiver.host)
        await insert(
            database,
            """INSERT INTO notices (job_id, user_id, url, status, finished_at, attempt, given_up_at, last_error)
            VALUES ('gone', :user_id, :url, 'completed', now(), 12, now(), 'HTTP 500')""",
            user_id=user_id,
            url=receiver.url,
        )
        (listed,) = (await ann_http.get(f"{OPS}/webhooks", params={"state": "given up"})).json()["webhooks"]
        resent = await ann_http.post(f"{OPS}/webhooks/{listed['notice_id']}/resend")
        assert (resent.status_code, resent.json()["state"], resent.json()["attempt"]) == (202, "waiting", 0)
        async with allowing.worker():
            (request,) = await receiver.wait_for(1)
            assert request.headers["webhook-id"] == listed["notice_id"]
            await until(lambda: _is_delivered(ann_http))
    again = await ann_http.post(f"{OPS}/webhooks/{listed['notice_id']}/resend")
    assert again.status_code == 202, "one that has arrived can be sent once more"
    entries = (await ann_http.get(f"{OPS}/audit", params={"action": "resend_webhook"})).json()["entries"]
    assert [(entry["resource_type"], entry["resource_id"]) for entry in entries] == [
        ("webhook", listed["notice_id"])
    ] * 2
    assert entries[0]["details"] == {"job_id": "gone", "by": "operator", "operator_id": str(user_id)}
    for unknown in ("no-id", str(UUID(int=7))):
        assert (await ann_http.post(f"{OPS}/webhooks/{unknown}/resend")).status_code == 404


async def _is_delivered(http: httpx.AsyncClient) -> bool:
    found = (await http.get(f"{OPS}/webhooks")).json()["webhooks"]
    return [each["state"] for each in found] == ["delivered"]


async def test_one_that_waits_is_due_now_and_keeps_its_attempts(
    database: Database, client: Client, user_id: UUID
) -> None:
    await insert(database, DELIVERIES, user_id=user_id, size=3)
    operator = OperatorClient(client._connections, client._settings)
    ((_, waiting),) = await operator.webhooks.list_page(DeliveryState.WAITING)
    _, resent = await operator.webhooks.resend(waiting.delivery_id)
    assert (resent.attempt, resent.state) == (3, DeliveryState.WAITING)
    assert resent.due_at < waiting.due_at
    with pytest.raises(NotFoundError):
        await operator.webhooks.resend(UUID(int=7))
    with pytest.raises(InvalidInputError):
        await operator.webhooks.list_page(DeliveryState.DELIVERED)


REPOSITORIES = """
    INSERT INTO repositories (
        id, owner_id, name, full_name, url, clone_url, schedule, next_check_at, check_requested_at)
    SELECT md5('r' || number)::uuid, :user_id, 'r' || number, 'o/r' || number, 'https://a.example/o/r' || number,
        'https://a.example/o/r' || number, CASE WHEN number % 3 > 0 THEN 'daily' END,
        CASE WHEN number % 3 > 0 THEN now() + make_interval(mins => number) END,
        CASE WHEN number % 3 < 2 THEN now() + make_interval(mins => number - 6) END
    FROM generate_series(1, 12) AS number
"""


async def test_checks_are_listed_by_when_they_are_due(
    ann_http: httpx.AsyncClient, database: Database, user_id: UUID
) -> None:
    await insert(database, REPOSITORIES, user_id=user_id)
    checks = await all_pages(ann_http, "/checks", "checks")
    assert len({check["repository_id"] for check in checks}) == len(checks) == 12, "each repository once"
    due = [check["due_at"] for check in checks]
    assert due == sorted(due)
    # Asked for 6 minutes before its schedule: 1, 3, 4, 6, 7, 9, 10, 12; by schedule alone: 2, 5, 8, 11.
    asked = {number: number - 6 for number in (1, 3, 4, 6, 7, 9, 10, 12)}
    order = sorted({**asked, 2: 2, 5: 5, 8: 8, 11: 11}.items(), key=lambda each: each[1])
    by_due: dict[int, set[str]] = {}
    for number, minute in order:
        by_due.setdefault(minute, set()).add(f"o/r{number}")
    names = [check["full_name"] for check in checks]
    for _, expected in sorted(by_due.items()):
        assert set(names[: len(expected)]) == expected
        names = names[len(expected) :]
    assert [check["is_due"] for check in checks[:3]] == [True] * 3
    assert {check["owner"] for check in checks} == {"ann@example.org"}


async def test_ends_are_counted_by_minute_and_outcome(ann_http: httpx.AsyncClient, system: System) -> None:
    redis = await connect(system.environment["REDIS_URL"])
    publisher = EventPublisher(redis)
    for outcome in (Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED):
        publisher.publish("a", {"status": "completed"}, outcome)
    await publisher.flush()
    found = (await ann_http.get(f"{OPS}/ends")).json()
    assert found["last_hour"] == {"completed": 2, "failed": 1, "cancelled": 0}
    assert len(found["minutes"]) == 61
    assert found["jobs_a_minute"] <= 3 / 5
    await _spoil(redis)
    assert set((await ann_http.get(f"{OPS}/ends")).json()["last_hour"].values()) == {0}
    publisher.publish("a", {"status": "completed"}, Outcome.FAILED)
    await publisher.flush()
    assert (await ann_http.get(f"{OPS}/ends")).status_code == 200
    await redis.aclose()


async def _spoil(redis: Any) -> None:
    """Write what another program might: values that are no counts, and a key of another type."""
    (key, *_) = await redis.keys("vibe8:ends:*")
    await redis.hset(key, mapping={"completed": "x", "failed": "-5", "cancelled": "9" * 100})
    number = int(key.rpartition(b":")[2])
    await redis.set(f"vibe8:ends:{number - 1}", "no hash")


async def test_a_worker_counts_what_it_ends(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID, worker: Any
) -> None:
    await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    await client.submit_upload(user_id, filename="a.zip", content=b"no zip")

    async def counted() -> bool:
        hour = (await ann_http.get(f"{OPS}/ends")).json()["last_hour"]
        return bool(hour == {"completed": 1, "failed": 1, "cancelled": 0})

    await until(counted)


async def test_jobs_that_are_cancelled_before_a_worker_has_them_are_counted_once(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    jobs = [(await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")).job_id for _ in range(3)]
    for _ in range(2):
        await ann_http.delete(f"/api/v1/jobs/{jobs[0]}")
        await client.cancel_job(user_id, jobs[1])
        await ann_http.post(f"{OPS}/jobs/{jobs[2]}/cancel")
    hour = (await ann_http.get(f"{OPS}/ends")).json()["last_hour"]
    assert hour == {"completed": 0, "failed": 0, "cancelled": 3}


async def test_jobs_are_searched_by_the_beginning_of_their_id(
    ann_http: httpx.AsyncClient, database: Database, user_id: UUID
) -> None:
    await insert(
        database,
        """INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata)
        SELECT 'abc' || lpad(to_hex(number), 29, '0'), :user_id, 'pending', 'upload', '{"upload_filename": "a.py"}'
        FROM generate_series(1, 5) AS number""",
        user_id=user_id,
    )
    await insert(
        database,
        "INSERT INTO jobs (job_id, user_id, status, source_kind) VALUES ('foreign-id_1', :user_id, 'failed', 'upload')",
        user_id=user_id,
    )
    found = await all_pages(ann_http, "/jobs", "jobs", job="abc")
    assert [job["job_id"][-1] for job in found] == list("12345")
    assert {job["owner"] for job in found} == {"ann@example.org"}
    for exact in (found[0]["job_id"], "foreign-id_1"):
        assert [job["job_id"] for job in await all_pages(ann_http, "/jobs", "jobs", job=exact)] == [exact]
    for nothing in ("abd", "foreign-id", "%", "\u0000", "A" * 200):
        assert await all_pages(ann_http, "/jobs", "jobs", job=nothing) == []


SECTIONS = ("Queue", "Workers", "Jobs", "Scheduled checks", "Webhooks that were given up")


def headings(page: str) -> Sequence[str]:
    return re.findall("<h2>(.*?)</h2>", page)


async def test_the_page_shows_what_there_is(ann_http: httpx.AsyncClient, database: Database, user_id: UUID) -> None:
    await insert(database, DELIVERIES, user_id=user_id, size=12)
    await insert(database, REPOSITORIES, user_id=user_id)
    shown = await ann_http.get("/ops")
    assert shown.status_code == 200, shown.text
    assert tuple(headings(shown.text)) == SECTIONS
    assert "hooks.example.org" in shown.text
    assert "o/r1" in shown.text
    assert "secret" not in shown.text
    for path in (
        "/ops/checks",
        "/ops/webhooks",
        "/ops/webhooks?state=waiting",
        "/ops/webhooks?state=ended",
        "/ops?find=a",
    ):
        assert (await ann_http.get(path)).status_code == 200, path


async def test_the_page_is_shown_without_redis(
    system: System, database: Database, user_id: UUID, tokens: Tokens, unused_tcp_port: int
) -> None:
    settings = system.with_settings(REDIS_URL=f"redis://127.0.0.1:{unused_tcp_port}/0").settings
    async with OperatorClient.open(settings, lazy_redis=True) as operator:
        app = create_app(operator.user_client, identify=tokens, operator=operator)
        async with http_client(app, tokens.add(user_id)) as http:
            shown = await http.get("/ops")
            assert (shown.status_code, tuple(headings(shown.text))) == (200, SECTIONS)
            assert "Redis cannot be reached" in shown.text
            assert (await http.get(f"{OPS}/ends")).json()["code"] == "unavailable"
