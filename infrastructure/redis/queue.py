"""The queue: ARQ and Redis tell workers that there may be work. A hint, never the truth.

Every ring has a fresh ARQ id (`{job_id}:{ring}`): ARQ's in-progress, retry and result keys of an earlier ring can
neither delay nor block it. Payloads are JSON and hold ids only; a pickle in the queue is refused by the decoder.
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms, to_unix_ms
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from domain.errors import ServiceUnavailableError
from domain.text import JSON

QUEUE_NAME = "vibe8:queue"
TASK_NAME = "analyze"
DUE_NOW = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
"""A time that has come by any replica's clock: a worker whose clock lags must not wait for ours."""

EXPIRES_SECONDS = 86_400
CONNECT_SECONDS = 5
CONNECT_RETRIES = 2
"""A caller learns within about ten seconds that Redis is away; the worker's own loop then tries again."""


def serialize(message: Mapping[str, Any]) -> bytes:
    """ARQ's job message as JSON; what JSON does not know (an exception in a result) becomes its text."""
    return json.dumps(message, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """The inverse; raises ValueError on anything but a job message.

    ARQ drops what cannot be read, but ends over a message whose fields are of other types than it wrote.
    """
    message = json.loads(data)
    if not isinstance(message, dict) or not all(check(message.get(key)) for key, check in _FIELDS.items()):
        raise ValueError("not a job message")
    return message


def _is_int(value: Any, limit: int) -> bool:
    return type(value) is int and 0 <= value < limit


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "f": lambda function: isinstance(function, str),
    "a": lambda arguments: isinstance(arguments, list),
    "k": lambda keywords: isinstance(keywords, dict),
    "t": lambda tries: tries is None or _is_int(tries, 10**6),
    "et": lambda milliseconds: _is_int(milliseconds, 10**14),
}
"""What ARQ takes for granted of its function, arguments, keywords, tries and time of enqueueing."""


def redis_settings(url: str, *, retries: int = CONNECT_RETRIES) -> RedisSettings:
    """ARQ's connection settings: connection errors are tried again by the library, timeouts too."""
    settings = RedisSettings.from_dsn(url)
    if settings.password is not None:
        settings.password = unquote(settings.password)  # ARQ leaves it as it stands in the address
    settings.conn_timeout = CONNECT_SECONDS
    settings.conn_retries = retries
    settings.retry_on_timeout = True
    return settings


@asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Translate the ways in which Redis can be away into ServiceUnavailableError."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise ServiceUnavailableError(f"Redis cannot be reached ({type(error).__name__}); see REDIS_URL") from error


async def connect(url: str, *, retries: int = CONNECT_RETRIES) -> ArqRedis:
    """A connection pool for ringing, tried again so often, a second apart. Raises ServiceUnavailableError."""
    async with redis_errors():
        return await create_pool(
            redis_settings(url, retries=retries),
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=QUEUE_NAME,
        )


def connect_lazily(url: str) -> ArqRedis:
    """The same, but nothing is asked of Redis before it is needed: for those who may never need it."""
    pool = ConnectionPool.from_url(url, socket_connect_timeout=CONNECT_SECONDS)
    return ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=QUEUE_NAME)


class JobQueue:
    """Rings for jobs, and tells listeners what happens to them."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def enqueue(self, job_id: str, ring: int, *, delay_seconds: float = 0.0) -> None:
        """Enqueue `{job_id}:{ring}`, now or later. Raises ServiceUnavailableError; the sweep rings again."""
        await self.enqueue_many([(job_id, ring)], delay_seconds=delay_seconds)

    async def enqueue_many(self, rings: Sequence[tuple[str, int]], *, delay_seconds: float = 0.0) -> None:
        """Enqueue many at once, each a job's id and its ring, in one exchange with Redis.

        What ARQ's own `enqueue_job` writes; it asks first whether the id is in use, and ours are fresh.
        """
        now = timestamp_ms()
        score = now + round(delay_seconds * 1000) if delay_seconds else to_unix_ms(DUE_NOW)
        lifetime = (EXPIRES_SECONDS + math.ceil(delay_seconds)) * 1000
        async with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for job_id, ring in rings:
                message = serialize_job(TASK_NAME, (job_id,), {}, None, now, serializer=serialize)
                pipe.psetex(f"{job_key_prefix}{job_id}:{ring}", lifetime, message)
                pipe.zadd(QUEUE_NAME, {f"{job_id}:{ring}": score})
            if not delay_seconds:
                pipe.publish(wakeup_channel(self._redis), b"")
            await pipe.execute()

    async def publish(self, job_id: str, event: Mapping[str, JSON]) -> None:
        """Tell whoever listens on the job's channel. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.publish(job_channel(job_id), json.dumps(event, allow_nan=False))

    async def events(self, job_id: str, seconds: float) -> AsyncGenerator[Mapping[str, JSON] | None, None]:
        """The events of one job from now on, and None whenever `seconds` pass without one, or while Redis is away."""
        while True:
            try:
                async with redis_errors(), self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(job_channel(job_id))
                    yield None  # what happened before the subscription stood is in the row
                    while True:
                        message = await pubsub.get_message(timeout=seconds)
                        yield None if message is None else json.loads(message["data"])
            except ServiceUnavailableError:
                await asyncio.sleep(seconds)
                yield None


def wakeup_channel(redis: Redis) -> str:
    """The Redis channel on which a ring is heard at once; channels are shared by a server's numbered databases."""
    return f"vibe8:bell:{redis.connection_pool.connection_kwargs.get('db', 0)}"


def job_channel(job_id: str) -> str:
    """The Redis channel on which a job's changes are published as JSON `{status, stage, progress}`."""
    return f"vibe8:job:{job_id}"
