"""Submissions and one-file uploads a second."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

from benchmarks.queue.bench import BATCH, SOURCE, USERS, WORKER, Bench, show
from worker.client import Client, UploadSubmission


async def measure_submissions(bench: Bench, client: Client, count: int) -> None:
    """Print submissions a second: one after the other, of twenty users at once, and in batches."""
    one = UploadSubmission(filename="a.py", content=SOURCE.read_bytes())
    users = [await bench.user(client, number) for number in range(USERS)]
    started = time.perf_counter()
    for number in range(count):
        await client.submit_many(users[number % USERS], [one])
    show("submissions/s, one after the other", count / (time.perf_counter() - started))

    async def submit_share(user_id: UUID) -> None:
        for _ in range(count // USERS):
            await client.submit_many(user_id, [one])

    started = time.perf_counter()
    await asyncio.gather(*(submit_share(user_id) for user_id in users))
    show("submissions/s, twenty users at once", count / (time.perf_counter() - started))
    started = time.perf_counter()
    await bench.submit(client, 10 * BATCH, one.content)
    show(f"submissions/s, {BATCH} in a batch", 10 * BATCH / (time.perf_counter() - started))


async def measure_uploads(bench: Bench, client: Client, replicas: Sequence[int], count: int) -> None:
    """Print one-file uploads with ten metrics a second."""
    for number in replicas:
        rate, cpu = await bench.jobs_a_second(client, WORKER, number, count)
        for name, seconds in cpu.items():
            show(f"  CPU ms a job: {name}", seconds * 1000)
        show(f"one-file uploads/s, ten metrics, {number} replicas", rate)
