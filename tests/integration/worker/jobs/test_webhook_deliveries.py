"""Webhook deliveries by workers: one for each end of a job, whatever fails meanwhile, without delaying other jobs."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.jobs import JobStatus
from domain.webhooks import MAX_DELIVERY_ATTEMPTS
from examples.webhook import verify
from infrastructure.database.engine import Database
from infrastructure.database.repositories.webhook_deliveries import WebhookDeliveryRepository
from infrastructure.outbound.webhook_sender import WebhookSender
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.network.webhook_server import WebhookReceiver, http_response, webhook_receiver
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client
from worker.jobs.webhook_dispatcher import WebhookDispatcher

SECRET = "s" * 40
OK = http_response(204)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture
def webhook_system(system: System, receiver: WebhookReceiver) -> System:
    """Settings of `system`, with webhooks signed, and the receiver's private address allowed."""
    return system.with_settings(WEBHOOK_SECRETS=SECRET, WEBHOOK_ALLOWED_HOSTS=receiver.host)


@pytest.fixture
async def webhook_client(webhook_system: System) -> AsyncIterator[Client]:
    async with Client.open(webhook_system.settings) as client:
        yield client


async def submit(client: Client, user_id: UUID, url: str, content: bytes = PYTHON_FILE, name: str = "a.py") -> str:
    return (await client.submit_upload(user_id, filename=name, content=content, notify_url=url)).job_id


async def test_message_has_the_verdict_and_how_many_findings_are_new_and_fixed(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    risky = b"def f(text):\n    return eval(text)\n"
    async with webhook_system.worker():
        for number, content in enumerate((b"def f(text):\n    assert text\n", risky)):
            await submit(webhook_client, user_id, receiver.url, content)
            document = (await receiver.wait_for(number + 1))[number].document
    assert document["verdict"] == "REJECTED"
    assert document["findings"] == {"new": {"info": 0, "low": 0, "medium": 1, "high": 0}, "fixed": 1}


async def test_the_end_of_a_job_is_delivered_once(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    async with webhook_system.worker() as worker:
        without_url = await webhook_client.submit_upload(user_id, filename="b.py", content=PYTHON_FILE)
        job_id = await submit(webhook_client, user_id, receiver.url)
        (received,) = await receiver.wait_for(1)
        job = await webhook_client.get_job(user_id, job_id)
        assert job.status is JobStatus.COMPLETED
        assert job.finished_at is not None
        assert received.document == {
            "job_id": job_id,
            "status": "completed",
            "error": None,
            "run_id": str(job.result_run_id),
            "finished_at": job.finished_at.isoformat(),
            "verdict": "NOT_EVALUATED",
            "findings": None,
        }
        assert verify(webhook_client.webhook_secrets(user_id)[0], received.headers, received.body)
        failing = await submit(webhook_client, user_id, receiver.url, b"no zip", "a.zip")
        received = (await receiver.wait_for(2))[1]
        assert received.document["job_id"] == failing
        assert (received.document["status"], received.document["run_id"]) == ("failed", None)
        assert "not a zip" in received.document["error"]
        await until_finished(webhook_client, user_id, without_url.job_id)
        assert await webhook_client.list_webhook_deliveries(user_id, without_url.job_id) == []
        await worker.until("webhook.delivered", 2)
        assert await worker.stop() == 0
    assert SECRET not in worker.log_file.read_text()
    assert "/hook" not in worker.log_file.read_text()
    assert len(receiver.received) == 2
    (delivery,) = await webhook_client.list_webhook_deliveries(user_id, job_id)
    assert (delivery.state, delivery.attempt, delivery.last_error) == ("delivered", 1, None)


async def test_a_failed_delivery_is_repeated(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    receiver.answers = [http_response(503)]
    async with webhook_system.worker() as worker:
        job_id = await submit(webhook_client, user_id, receiver.url)
        assert (await until_finished(webhook_client, user_id, job_id)).status is JobStatus.COMPLETED
        (failed,) = await worker.until("webhook.delivery_failed")
        assert failed["reason"] == "answered 503"
        waiting = await webhook_system.run("job", job_id, "--user", "ann@example.org")
        assert "webhook  waiting: answered 503\n" in waiting.out
        assert re.search(r"webhook: delivery \d is due", waiting.out)
        receiver.answers = [http_response(500), OK]
        await worker.until("webhook.delivered")
        received = await receiver.wait_for(3)
        assert len({each.body for each in received}) == 1
        assert len({each.headers["webhook-id"] for each in received}) == 1
    shown = await webhook_system.run("job", job_id, "--user", "ann@example.org")
    assert "webhook  delivered\n" in shown.out
    assert f"webhook delivered, delivery {len(received)}" in shown.out
    (document,) = (await webhook_system.run("job", job_id, "--user", "ann@example.org", "--json")).document["notices"]
    assert (document["state"], document["attempt"], document["last_error"]) == ("delivered", len(received), None)


async def test_an_unresponsive_receiver_takes_no_slot_and_delays_no_other_delivery(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    async with webhook_receiver(port=0, answers=[None]) as slow:
        more = {"WEBHOOK_ALLOWED_HOSTS": f"{receiver.host},{slow.host}", "ARQ_MAX_JOBS": "1"}
        async with (
            Client.open(
                webhook_system.settings.model_copy(update={"webhook_allowed_hosts": ("127.0.0.1",)})
            ) as slow_client,
            webhook_system.worker(**more) as worker,
        ):
            for _ in range(3):
                await submit(slow_client, user_id, slow.url)
            await slow.wait_for(3)
            job_id = await submit(webhook_client, user_id, receiver.url)
            (received,) = await receiver.wait_for(1)
            assert received.document["job_id"] == job_id
            assert len(slow.received) == 3  # all three are still waiting for their answers
            assert await worker.stop() == 0


async def test_delivery_survives_a_worker_killed_between_commit_and_delivery(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    async with webhook_system.worker("dying", VIBE8_FAILPOINTS="committed") as dying:
        job_id = await submit(webhook_client, user_id, receiver.url)
        await asyncio.to_thread(dying.process.wait)
    assert receiver.received == []
    assert (await webhook_client.get_job(user_id, job_id)).status is JobStatus.COMPLETED
    async with webhook_system.worker():
        (received,) = await receiver.wait_for(1)
    assert received.document["job_id"] == job_id


async def test_delivery_is_repeated_after_a_worker_was_killed_while_delivering(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    receiver.answers = [None, OK]
    async with webhook_system.worker("dying") as dying:
        job_id = await submit(webhook_client, user_id, receiver.url)
        await receiver.wait_for(1)
        dying.process.kill()
        await asyncio.to_thread(dying.process.wait)
    assert [delivery.state for delivery in await webhook_client.list_webhook_deliveries(user_id, job_id)] == ["waiting"]
    await Rows(webhook_system).all("UPDATE notices SET due_at = now()")  # skip the minute of the lease
    async with webhook_system.worker():
        first, second = await receiver.wait_for(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_cancelled_and_retried_jobs_have_deliveries_too(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    job_id = await submit(webhook_client, user_id, receiver.url, b"no zip", "a.zip")
    await webhook_client.cancel_job(user_id, job_id)
    other = await submit(webhook_client, user_id, receiver.url, b"no zip", "a.zip")
    async with webhook_system.worker():
        await receiver.wait_for(2)
        await webhook_client.retry_job(user_id, other)
        await receiver.wait_for(3)
    ends = [(each.document["job_id"], each.document["error"]) for each in receiver.received]
    assert min(ends, key=lambda each: each[0] == other) == (job_id, "cancelled by user")
    assert [each[0] for each in ends].count(other) == 2
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 3


async def new_dispatcher(database: Database, receiver: WebhookReceiver) -> AsyncIterator[WebhookDispatcher]:
    sender = WebhookSender([SECRET], [receiver.host])
    running = WebhookDispatcher(database, sender)
    task = asyncio.create_task(running.run())
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await sender.aclose()


async def test_a_delivery_is_given_up_after_the_last_attempt_and_deleted_later(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    receiver.answers = [http_response(500)]
    job_id = await submit(webhook_client, user_id, receiver.url)
    await webhook_client.cancel_job(user_id, job_id)
    await Rows(webhook_system).all(f"UPDATE notices SET attempt = {MAX_DELIVERY_ATTEMPTS - 1}")  # noqa: S608
    async with webhook_system.worker() as worker:
        (given_up,) = await worker.until("webhook.given_up")
    assert (given_up["delivery"], given_up["reason"]) == (MAX_DELIVERY_ATTEMPTS, "answered 500")
    (delivery,) = await webhook_client.list_webhook_deliveries(user_id, job_id)
    assert delivery.state == "given up"
    await Rows(webhook_system).all("UPDATE notices SET due_at = now()")
    shown = await webhook_system.run("job", job_id, "--user", "ann@example.org")
    assert "webhook  given up: answered 500\n" in shown.out
    assert len(receiver.received) == 1
    await Rows(webhook_system).all("UPDATE notices SET given_up_at = now() - interval '1 day'")
    assert (await webhook_system.run("cleanup")).code == 0
    assert await webhook_client.list_webhook_deliveries(user_id, job_id) == []


async def test_many_workers_deliver_each_end_once(
    webhook_client: Client, database: Database, receiver: WebhookReceiver, webhook_system: System
) -> None:
    count = 60
    limits = {"max_concurrent_jobs_per_user": count, "daily_job_limit_per_user": count}
    async with Client.open(webhook_system.settings.model_copy(update=limits)) as generous:
        user_id = await generous.get_or_create_user("ann@example.org")
        for _ in range(count):
            job_id = await submit(generous, user_id, receiver.url)
            await generous.cancel_job(user_id, job_id)
    dispatchers = [new_dispatcher(database, receiver) for _ in range(4)]
    for each in dispatchers:
        await anext(each)

    async def all_delivered() -> bool:
        rows = await Rows(webhook_system).all("SELECT count(*) AS open FROM notices WHERE delivered_at IS NULL")
        return bool(rows[0]["open"] == 0)

    await until(all_delivered)
    for each in dispatchers:
        with pytest.raises(StopAsyncIteration):
            await anext(each)
    assert len(receiver.received) == len({each.headers["webhook-id"] for each in receiver.received}) == count


async def test_a_claimed_delivery_belongs_to_its_claimer_until_the_lease_expires(
    webhook_client: Client, user_id: UUID, database: Database, receiver: WebhookReceiver
) -> None:
    await webhook_client.cancel_job(user_id, await submit(webhook_client, user_id, receiver.url))
    async with database.unit_of_work() as work:
        (first,) = await WebhookDeliveryRepository(work).claim_due(10, 0, per_host=2, under_way={})
    async with database.unit_of_work() as work:
        (second,) = await WebhookDeliveryRepository(work).claim_due(10, 60, per_host=2, under_way={})
        assert await WebhookDeliveryRepository(work).claim_due(10, 60, per_host=2, under_way={}) == []
    async with database.unit_of_work() as work:
        # Ignored, because the second claim holds the lease.
        await WebhookDeliveryRepository(work).mark_failed(first, "late", delay_seconds=0, give_up=True)
    async with database.unit_of_work() as work:
        await WebhookDeliveryRepository(work).mark_delivered(first)  # accepted: a delivery that arrived is delivered
        await WebhookDeliveryRepository(work).mark_failed(second, "x", delay_seconds=0, give_up=True)
    (delivery,) = await webhook_client.list_webhook_deliveries(user_id, first.job_id)
    assert (delivery.state, delivery.attempt) == ("delivered", 2)


async def test_deliveries_of_a_deleted_user_are_deleted(
    webhook_system: System, webhook_client: Client, user_id: UUID, receiver: WebhookReceiver
) -> None:
    await webhook_client.cancel_job(user_id, await submit(webhook_client, user_id, receiver.url))
    await submit(webhook_client, user_id, receiver.url)
    await webhook_client.delete_user(user_id)
    assert await Rows(webhook_system).all("SELECT * FROM notices") == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/", "private address"),
        ("https://[::ffff:10.0.0.1]/", "private address"),
        ("http://example.org/", "https://"),
    ],
)
async def test_a_forbidden_url_is_refused_at_submission(
    webhook_client: Client, user_id: UUID, url: str, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        await submit(webhook_client, user_id, url)
    assert await webhook_client.list_jobs(user_id) == []
