"""Webhook deliveries by receiver: a few at a time to each host, so that a receiver that hangs delays no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from infrastructure.outbound import webhook_sender
from infrastructure.outbound.webhook_sender import WebhookSender
from tests.fixtures.database import Rows
from tests.fixtures.network.webhook_server import WebhookReceiver, http_response, webhook_receiver
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from tests.integration.infrastructure.database.buffers import count_buffers
from worker.jobs import webhook_dispatcher
from worker.jobs.webhook_dispatcher import MAX_PER_HOST, WebhookDispatcher

SECRET = "s" * 40


@pytest.fixture
def no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers that hang do so for the whole test: what waits for them would never be delivered."""
    monkeypatch.setattr(webhook_sender, "DELIVERY_TIMEOUT_SECONDS", 3600.0)


@pytest.fixture
def rows(system: System) -> Rows:
    return Rows(system)


async def add_deliveries(rows: Rows, urls: Sequence[str], *, attempt: int = 0, due_in: float = 0) -> None:
    """Insert one due delivery for each URL, as the trigger does."""
    await rows.all(
        """
        INSERT INTO notices (job_id, user_id, url, status, finished_at, attempt, due_at)
        SELECT 'job ' || place, gen_random_uuid(), url, 'completed', now(), $2,
            now() + make_interval(secs => $3) + place * interval '1 microsecond'
        FROM unnest($1::varchar[]) WITH ORDINALITY AS new(url, place)
        """,
        list(urls),
        attempt,
        due_in,
    )


async def hanging_receivers(stack: AsyncExitStack, count: int) -> list[WebhookReceiver]:
    return [await stack.enter_async_context(webhook_receiver(answers=[None])) for _ in range(count)]


@asynccontextmanager
async def running_dispatcher(database: Database) -> AsyncIterator[WebhookDispatcher]:
    sender = WebhookSender([SECRET], ["127.0.0.1"])
    dispatcher = WebhookDispatcher(database, sender)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.aclose()


@pytest.mark.usefixtures("no_time_limit")
async def test_sixty_receivers_that_hang_delay_no_other_delivery(database: Database, rows: Rows) -> None:
    async with AsyncExitStack() as stack:
        hanging = await hanging_receivers(stack, 60)
        good = await stack.enter_async_context(webhook_receiver())
        await add_deliveries(rows, [receiver.url for receiver in hanging] * 5)
        await add_deliveries(rows, [good.url] * 10)
        await stack.enter_async_context(running_dispatcher(database))
        await good.wait_for(10)
        await until(lambda: all(len(receiver.received) == MAX_PER_HOST for receiver in hanging))


@pytest.mark.usefixtures("no_time_limit")
async def test_many_deliveries_to_a_few_hanging_hosts_delay_no_other_delivery(database: Database, rows: Rows) -> None:
    async with AsyncExitStack() as stack:
        hanging = await hanging_receivers(stack, 3)
        good = await stack.enter_async_context(webhook_receiver())
        await add_deliveries(rows, [receiver.url for receiver in hanging] * 200)
        dispatcher = await stack.enter_async_context(running_dispatcher(database))
        for receiver in hanging:
            await receiver.wait_for(MAX_PER_HOST)
        await add_deliveries(rows, [good.url] * 10)
        dispatcher.wake()
        await good.wait_for(10)
        assert [len(receiver.received) for receiver in hanging] == [MAX_PER_HOST] * 3
        # Deliveries that wait for their host are not claimed, so no attempt is counted.
        counted = await rows.all("SELECT count(*) AS waiting FROM notices WHERE attempt = 0 AND delivered_at IS NULL")
        assert counted[0]["waiting"] == 600 - 3 * MAX_PER_HOST


async def test_more_hanging_hosts_than_places_leave_half_of_the_places_to_others(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_dispatcher, "MAX_CONCURRENT", 20)
    monkeypatch.setattr(webhook_dispatcher, "MAX_UNANSWERED", 10)
    monkeypatch.setattr(webhook_sender, "DELIVERY_TIMEOUT_SECONDS", 600.0)
    async with AsyncExitStack() as stack:
        hanging = await hanging_receivers(stack, 12)
        good = await stack.enter_async_context(webhook_receiver())
        dispatcher = await stack.enter_async_context(running_dispatcher(database))
        await add_deliveries(rows, [good.url])  # the HTTP client is made with the long time limit
        await good.wait_for(1)
        monkeypatch.setattr(webhook_sender, "DELIVERY_TIMEOUT_SECONDS", 0.2)
        await add_deliveries(rows, [receiver.url for receiver in hanging] * 200)
        dispatcher.wake()
        await until(lambda: len(dispatcher._unanswered) == 12)
        monkeypatch.setattr(webhook_sender, "DELIVERY_TIMEOUT_SECONDS", 600.0)
        received = sum(len(receiver.received) for receiver in hanging)
        await until(lambda: sum(len(receiver.received) for receiver in hanging) >= received + 10)
        await add_deliveries(rows, [good.url] * 10)
        dispatcher.wake()
        await good.wait_for(11)
        assert len(dispatcher._tasks) >= 10


async def test_a_host_that_hung_receives_the_rest_once_it_answers(database: Database, rows: Rows) -> None:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(webhook_receiver(answers=[None, None, http_response(204)]))
        await add_deliveries(rows, [receiver.url] * 12)
        await stack.enter_async_context(running_dispatcher(database))
        # Two attempts time out after 10 s; they are repeated.
        await receiver.wait_for(14)

        async def all_delivered() -> bool:
            return await rows.all("SELECT 1 FROM notices WHERE delivered_at IS NULL") == []

        await until(all_delivered)
    deliveries = [each.headers["webhook-id"] for each in receiver.received]
    assert (len(deliveries), len(set(deliveries))) == (14, 12)


async def claim(database: Database, limit: int = 100, per_host: int = 2, **under_way: int) -> list[str]:
    hosts = {f"{name}.example": count for name, count in under_way.items()}
    async with database.unit_of_work() as work:
        claimed = await WebhookDeliveryRepository(work).claim_due(limit, 60, per_host=per_host, under_way=hosts)
    return [delivery.host.removesuffix(".example") for delivery in claimed]


async def test_a_claim_takes_each_host_up_to_its_limit(database: Database, rows: Rows) -> None:
    await add_deliveries(rows, [f"https://{name}.example/hook" for name in "abc" for _ in range(4)])
    await add_deliveries(rows, ["https://d.example/"], due_in=60)
    assert sorted(await claim(database, a=2, b=1, d=1)) == ["b", "c", "c"]
    assert sorted(await claim(database, b=2, c=2)) == ["a", "a"]
    assert sorted(await claim(database, per_host=100)) == ["a", "a", "b", "b", "b", "c", "c"]
    assert await claim(database) == []


async def test_a_claim_takes_deliveries_with_fewer_attempts_first(database: Database, rows: Rows) -> None:
    await add_deliveries(rows, ["https://a.example/", "https://b.example/"], attempt=3)
    await add_deliveries(rows, ["https://c.example/", "https://d.example/"])
    assert sorted(await claim(database, 2)) == ["c", "d"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.org", "example.org"),
        ("HTTPS://example.org:8443/a?b=c:d@e", "example.org:8443"),
        ("https://example.org?x=https://other.example/", "example.org"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]:80"),
        ("no URL", ""),
        ("https://" + "a" * 3_000, "a" * 300),
    ],
)
async def test_the_host_of_a_delivery(database: Database, rows: Rows, url: str, host: str) -> None:
    await add_deliveries(rows, [url])
    async with database.unit_of_work() as work:
        (claimed,) = await WebhookDeliveryRepository(work).claim_due(1, 60, per_host=1, under_way={})
        assert claimed.host == host


async def test_concurrent_claims_share_the_deliveries_of_one_host(database: Database, rows: Rows) -> None:
    await add_deliveries(rows, ["https://a.example/"] * 16)
    claims = await asyncio.gather(*(claim(database) for _ in range(8)))
    assert [len(claimed) for claimed in claims] == [2] * 8


async def test_a_claim_costs_the_same_behind_a_backlog_of_a_host_at_its_limit(database: Database, rows: Rows) -> None:
    under_way = {"a.example": 2, "b.example": 1}

    async def cost() -> int:
        await rows.all("VACUUM ANALYZE notices")
        async with database.unit_of_work() as work:
            deliveries = WebhookDeliveryRepository(work)
            return await count_buffers(work, lambda: deliveries.claim_due(10, 60, per_host=2, under_way=under_way))

    await add_deliveries(rows, [f"https://{name}.example/" for name in "abc"] * 10)
    before = await cost()
    await add_deliveries(rows, ["https://a.example/"] * 20_000)
    assert await cost() <= 2 * before
