"""Jobs and queue entries that no client would write."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from infrastructure.redis.queue import QUEUE_NAME, TASK_NAME


async def insert_job(
    database_url: str, job_id: str, user_id: UUID, metadata: str | None, *, kind: str = "upload"
) -> None:
    """Insert a pending job with this JSON text as its source, older than all others and not enqueued."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, created_at) "
            "VALUES ($1, $2, 'pending', $3, $4::text::jsonb, now() - interval '1 hour')",
            job_id,
            user_id,
            kind,
            metadata,
        )
    finally:
        await connection.close()


def job_message(**fields: Any) -> bytes:
    """Return ARQ's message about a job, with these fields changed."""
    message: Mapping[str, Any] = {"t": None, "f": TASK_NAME, "a": ["job"], "k": {}, "et": int(time.time() * 1000)}
    return json.dumps({**message, **fields}).encode()


async def enqueue_message(redis: "Redis", arq_id: bytes, message: bytes | None) -> None:
    """Put an entry at the head of the queue. Without a message, its key holds a list."""
    key = b"arq:job:" + arq_id
    await redis.delete(key)
    if message is None:
        await redis.rpush(key.decode(), "x")  # type: ignore[misc]
    else:
        await redis.set(key, message)
    await redis.zadd(QUEUE_NAME, {arq_id: 1})
