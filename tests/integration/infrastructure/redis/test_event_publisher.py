"""Events of jobs that a worker publishes in the background."""

import asyncio
import json
from typing import Any

from arq.connections import ArqRedis

from infrastructure.redis import event_publisher
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.job_events import JobEvents
from infrastructure.redis.queue import connect_lazily, job_channel


class CountingRedis:
    """Counts the round trips."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self.round_trips = 0

    def register_script(self, source: str) -> Any:
        script = self._redis.register_script(source)

        async def run(**arguments: Any) -> None:
            self.round_trips += 1
            await script(**arguments)

        return run


async def test_events_of_one_moment_share_a_round_trip_and_arrive_in_order(redis: ArqRedis) -> None:
    counting = CountingRedis(redis)
    publisher = EventPublisher(counting)  # type: ignore[arg-type]
    async with asyncio.timeout(60), redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(job_channel("a"))
        while dict(await redis.pubsub_numsub(job_channel("a"))) != {job_channel("a").encode(): 1}:
            await asyncio.sleep(0.01)
        for number in range(50):
            publisher.publish("a", {"progress": number})
        await publisher.flush()
        seen: list[int] = []
        while len(seen) < 50:
            message = await pubsub.get_message(timeout=1)
            seen += [] if message is None else [json.loads(message["data"])["progress"]]
    assert (seen, counting.round_trips) == (list(range(50)), 1)


async def test_whoever_watches_a_job_gets_its_event(redis: ArqRedis) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()
    events = JobEvents(redis, lambda *event: seen.put_nowait(event))
    running = asyncio.create_task(events.run())
    async with asyncio.timeout(60):
        for job_id in ("a", "b"):
            events.add(job_id)
            assert await seen.get() == (job_id, None), "it says when events arrive"
        EventPublisher(redis).publish("a", {"status": "completed"})
        assert await seen.get() == ("a", {"status": "completed"})
        events.remove("a")
        while dict(await redis.pubsub_numsub(job_channel("a"))) != {job_channel("a").encode(): 0}:
            await asyncio.sleep(0.01)
        await redis.client_kill_filter(_type="pubsub")
        assert await seen.get() == ("b", None), "it subscribes again when the connection is lost"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not seen.qsize()


async def test_events_are_dropped_while_redis_is_away(monkeypatch: Any) -> None:
    monkeypatch.setattr(event_publisher, "MAX_WAITING", 10)
    redis = connect_lazily("redis://127.0.0.1:1/0")
    publisher = EventPublisher(redis)
    for number in range(1_000):
        publisher.publish("a", {"progress": number})
    assert len(publisher._waiting) == 10
    await publisher.flush()
    assert not publisher._waiting
    await redis.aclose()
