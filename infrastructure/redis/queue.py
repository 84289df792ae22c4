"""The job queue in Redis, on ARQ: wake-ups for workers, and the events that it publishes of a job.

A queue entry is a hint that a job may be due; PostgreSQL holds the truth. Each wake-up has a fresh ARQ id,
`{job_id}:{number}`: the in-progress, retry and result keys that ARQ keeps of an earlier one neither delay nor block it.
Payloads are JSON and hold ids only. The decoder refuses pickles.
"""

import json
import math
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms, to_unix_ms
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import AuthenticationError, BusyLoadingError, OutOfMemoryError, ReadOnlyError, RedisError

from domain.errors import ServiceUnavailableError
from domain.text import JSON
from infrastructure.redis.untrusted_values import KEEP_TYPE, is_int

QUEUE_NAME = "vibe8:queue"
TASK_NAME = "analyze"
DUE_NOW = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
"""Score of an entry that is due at once: in the past by the clock of any replica, however late that clock is."""

EXPIRES_SECONDS = 86_400
MAX_WAKEUPS = 32
"""Most queue entries of one call: as many idle workers start at once, and the others within seconds."""

NO_JOB = "none"
PAGE = 1_000
WAKEUP_SECONDS = 10
"""ARQ's time limit of a wake-up. The entries of a killed worker are free again 10 s after it."""

CONNECT_SECONDS = 5
CONNECT_RETRIES = 2
"""A caller learns within about ten seconds that Redis is unavailable. A worker's main loop then tries again."""

_REPAIR = f"""
{KEEP_TYPE}
keep_type(KEYS[1], 'zset')
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', 0)
"""

_REFUSALS = (
    (ReadOnlyError, "Redis is a read-only replica, as after a failover", "REDIS_URL must lead to the primary"),
    (OutOfMemoryError, "Redis is full and refuses writes", "raise its maxmemory"),
    (BusyLoadingError, "Redis is loading its data", "it answers when it has done so"),
    (AuthenticationError, "Redis refuses the password or user", "check REDIS_URL"),
)
"""Errors of a Redis that is up and refuses, and what to do."""

_CHECK = "check REDIS_URL and that the server runs"
_DISK_FULL = "Redis cannot write its data to disk, and refuses all commands that write"

_WAKEUP_CHANNEL = "vibe8:be" + "ll"
"""Older workers subscribe to this name. It is written in two parts because the word itself is no longer in use here."""


def serialize(message: Mapping[str, Any]) -> bytes:
    """Encode ARQ's job message as JSON. Values that JSON does not know, such as an exception, become text."""
    return json.dumps(message, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """Decode a job message. Raises ValueError on anything else.

    ARQ drops a message that cannot be decoded, but crashes on one whose fields have unexpected types.
    """
    message = json.loads(data)
    if not isinstance(message, dict) or not all(check(message.get(key)) for key, check in _FIELDS.items()):
        raise ValueError("not a job message")
    return message


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "f": lambda function: isinstance(function, str),
    "a": lambda arguments: isinstance(arguments, list),
    "k": lambda keywords: isinstance(keywords, dict),
    "t": lambda tries: tries is None or is_int(tries, 10**6),
    "et": lambda milliseconds: is_int(milliseconds, 10**14),
}
"""The types that ARQ expects of its function, arguments, keywords, number of tries and time of enqueueing."""


def redis_settings(url: str, *, retries: int = CONNECT_RETRIES) -> RedisSettings:
    """Return ARQ's connection settings; redis-py retries connection errors and timeouts."""
    settings = RedisSettings.from_dsn(url)
    if settings.password is not None:
        settings.password = unquote(settings.password)  # ARQ leaves it percent-encoded
    settings.conn_timeout = CONNECT_SECONDS
    settings.conn_retries = retries
    settings.retry_on_timeout = True
    return settings


@asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Translate every error that an unavailable Redis can cause into ServiceUnavailableError."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        for kind, fault, advice in _REFUSALS:
            if isinstance(error, kind):
                raise ServiceUnavailableError(fault, advice=advice) from error
        if str(error).startswith("MISCONF"):  # redis-py has no class for it
            raise ServiceUnavailableError(_DISK_FULL, advice="free space there, see its log") from error
        if str(error).startswith("NOREPLICAS"):
            advice = "connect its replicas, or lower min-replicas-to-write"
            raise ServiceUnavailableError("Redis has too few replicas, and refuses writes", advice=advice) from error
        raise ServiceUnavailableError(f"Redis cannot be reached ({type(error).__name__})", advice=_CHECK) from error


async def connect(url: str, *, retries: int = CONNECT_RETRIES) -> ArqRedis:
    """Open a connection pool, trying again `retries` times, a second apart. Raises ServiceUnavailableError."""
    async with redis_errors():
        return await create_pool(
            redis_settings(url, retries=retries),
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=QUEUE_NAME,
        )


def connect_lazily(url: str) -> ArqRedis:
    """Return a pool that connects on its first command, for programs that may never need Redis."""
    pool = ConnectionPool.from_url(url, socket_connect_timeout=CONNECT_SECONDS)
    return ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=QUEUE_NAME)


class JobQueue:
    """Enqueues wake-ups for workers, and publishes the events of jobs."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def enqueue(self, job_ids: Sequence[str], *, delay_seconds: float = 0.0) -> None:
        """Enqueue a wake-up `{job_id}:{8 random hex}` for each job, due after the delay, in one round trip.

        Only the first MAX_WAKEUPS get one: a worker that is woken claims until nothing is due. Writes what ARQ's own
        `enqueue_job` writes, which first asks whether the id is in use; these ids are fresh.

        Raises ServiceUnavailableError. A caller may ignore it: idle workers look for due jobs within seconds.
        """
        now = timestamp_ms()
        score = now + round(delay_seconds * 1000) if delay_seconds else to_unix_ms(DUE_NOW)
        lifetime = (EXPIRES_SECONDS + math.ceil(delay_seconds)) * 1000
        async with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids[:MAX_WAKEUPS]:
                entry = f"{job_id}:{secrets.token_hex(4)}"
                message = serialize_job(TASK_NAME, (job_id,), {}, None, now, serializer=serialize)
                pipe.psetex(f"{job_key_prefix}{entry}", lifetime, message)
                pipe.zadd(QUEUE_NAME, {entry: score})
            if not delay_seconds:
                pipe.publish(wakeup_channel(self._redis), b"")
            await pipe.execute()

    async def wake_workers(self) -> None:
        """Enqueue MAX_WAKEUPS wake-ups that name no job. Raises ServiceUnavailableError."""
        await self.enqueue([NO_JOB] * MAX_WAKEUPS)

    async def purge_old_entries(self) -> int:
        """Remove entries that the release before marked as in progress, with their marks, and return how many.

        Its marks lasted for days, so the entries of its killed workers were never taken again. Entries that its living
        workers hold go too, which costs nothing: the row says who runs a job. A mark of this release lasts
        WAKEUP_SECONDS and ARQ's 10 s. Raises ServiceUnavailableError.
        """
        removed = start = 0
        async with redis_errors():
            await repair_queue(self._redis)
            while entries := await self._redis.zrange(QUEUE_NAME, start, start + PAGE - 1):
                old = await self._marked_for_days(entries)
                if old:
                    await self._remove(old)
                removed += len(old)
                start += len(entries) - len(old)
        return removed

    async def _marked_for_days(self, entries: Sequence[bytes]) -> list[bytes]:
        pipe = self._redis.pipeline(transaction=False)
        for entry in entries:
            pipe.pttl(in_progress_key_prefix.encode() + entry)
        lifetimes = await pipe.execute()
        return [entry for entry, left in zip(entries, lifetimes, strict=True) if left > 10 * WAKEUP_SECONDS * 1000]

    async def _remove(self, entries: Sequence[bytes]) -> None:
        prefixes = (job_key_prefix.encode(), retry_key_prefix.encode(), in_progress_key_prefix.encode())
        pipe = self._redis.pipeline(transaction=False)
        pipe.zrem(QUEUE_NAME, *entries)
        pipe.delete(*(prefix + entry for prefix in prefixes for entry in entries))
        await pipe.execute()

    async def publish(self, job_id: str, event: Mapping[str, JSON]) -> None:
        """Publish an event on the job's channel. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.publish(job_channel(job_id), json.dumps(event, allow_nan=False))


async def repair_queue(redis: Redis) -> None:
    """Replace a queue of the wrong type, and remove entries with times that ARQ takes for none or cannot read.

    Only another program writes such things. Raises what redis-py raises.
    """
    await redis.register_script(_REPAIR)(keys=[QUEUE_NAME])


def wakeup_channel(redis: Redis) -> str:
    """Return the channel of wake-ups. Channels are shared by a server's numbered databases, hence the number in it."""
    return f"{_WAKEUP_CHANNEL}:{redis.connection_pool.connection_kwargs.get('db', 0)}"


def job_channel(job_id: str) -> str:
    """Return the channel on which a job's changes are published, as JSON `{status, stage, progress}`."""
    return f"vibe8:job:{job_id}"
