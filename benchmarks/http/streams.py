"""Many event streams that are open at one `vibe8 serve` at the same time: `python -m benchmarks.http.streams`.

It starts PostgreSQL, Valkey and the service, makes users with jobs that wait, and opens their streams from several
loopback addresses, of which each has 28,000 ports. It prints how they were answered, what they cost while nothing
happens, how long another request takes meanwhile, and how many have the event of a change that all jobs make at once.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import text

from benchmarks.analysis import machine
from benchmarks.http.measuring import Server, service
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import upgrade
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.settings import load_settings
from worker.client import Client
from worker.http.options import HttpOptions
from worker.http.server.serve import allow_open_files

ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
OF_A_USER = HttpOptions().max_streams_per_user
LENGTH = re.compile(r"\r\ncontent-length: (\d+)", re.IGNORECASE)
SPARE_FILES = 1_000
LAST_SECONDS = 120.0
"""How long all streams may take for their last event."""

ENDED = "UPDATE jobs SET status = 'failed', finished_at = now(), error_message = 'ended'"


@dataclass
class Stream:
    """One stream: how it was answered, with the detail of an error, after how many seconds, and what has come of it."""

    answer: str = ""
    seconds: float = 0.0
    events: int = 0
    reading: asyncio.Task[None] | None = None


async def open_stream(port: int, number: int, job_id: str, key: str) -> Stream:
    """Open a stream, and go on to read it in the background."""
    stream, began = Stream(), time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, limit=4_096, local_addr=(ADDRESSES[number % len(ADDRESSES)], 0)
        )
        head = f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        writer.write(head.encode())
        head_of_answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        stream.answer = head_of_answer.partition("\r\n")[0]
        if (length := LENGTH.search(head_of_answer)) is not None:
            stream.answer += f", {json.loads(await reader.readexactly(int(length[1])))['detail']}"
    except (OSError, asyncio.IncompleteReadError) as error:
        stream.answer = f"{type(error).__name__}: {error}"
    stream.seconds = time.perf_counter() - began
    if " 200 " in stream.answer:
        stream.reading = asyncio.create_task(_read(reader, writer, stream))
    return stream


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
    try:
        while piece := await reader.read(4_096):
            stream.events += piece.count(b"event: job")
    except OSError:
        pass
    finally:
        writer.close()


async def jobs_of_many(streams: int) -> Sequence[tuple[str, str]]:
    """Make users for OF_A_USER streams each, with a key and a job that waits. Returns job and key of each stream."""
    places = []
    async with Client.open(load_settings()) as client:
        for number in range(-(-streams // OF_A_USER)):
            user_id = await client.get_or_create_user(f"reader{number}@example.org")
            key = await client.keys.create(user_id, name="events", permissions=["read"])
            job = await client.submit_upload(user_id, filename="a.py", content=b"x")
            places += [(job.job_id, key.text)] * OF_A_USER
    return places[:streams]


async def open_all(port: int, places: Sequence[tuple[str, str]], at_a_time: int) -> list[Stream]:
    """Open all streams, so many at the same time."""
    turns = asyncio.Semaphore(at_a_time)

    async def one(number: int, place: tuple[str, str]) -> Stream:
        async with turns:
            return await open_stream(port, number, *place)

    return list(await asyncio.gather(*(one(number, place) for number, place in enumerate(places))))


async def measure(server: Server, options: argparse.Namespace) -> bool:
    """Print the figures. Returns whether every stream was answered and had its last event."""
    places, process = await jobs_of_many(options.streams), psutil.Process(server.pid)
    before, began = process.memory_info().rss, time.perf_counter()
    streams = await open_all(server.port, places, options.at_a_time)
    seconds, times = time.perf_counter() - began, sorted(stream.seconds for stream in streams)
    for answer, count in Counter(stream.answer for stream in streams).most_common():
        print(f"{count:,} were answered: {answer}", flush=True)
    slowest = f"p50 {statistics.median(times) * 1000:.0f} ms, the slowest {times[-1]:.1f} s"
    print(f"opened in {seconds:.0f} s, {options.at_a_time} at a time, {slowest}", flush=True)
    opened = [stream for stream in streams if stream.reading is not None]
    used, began = sum(process.cpu_times()[:2]), time.perf_counter()
    await asyncio.sleep(options.seconds)
    share = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - began)
    memory = (process.memory_info().rss - before) / max(1, len(opened)) / 1024
    alive = sum(not stream.reading.done() for stream in opened if stream.reading)
    print(f"after {options.seconds:g} s {alive:,} are open, each with {memory:.0f} KB, all with {share:.0%} of a core")
    print(f"another request takes {await _other(server.port, places[0][1]) * 1000:.0f} ms", flush=True)
    had, began = sum(stream.events > 0 for stream in opened), time.perf_counter()
    await _end_jobs()
    await asyncio.wait([stream.reading for stream in opened if stream.reading], timeout=LAST_SECONDS)
    seconds, complete = time.perf_counter() - began, sum(stream.events > 1 for stream in opened)
    print(f"{had:,} had their first event, and {complete:,} that of the end, all of them {seconds:.1f} s after it")
    return bool(complete == options.streams)


async def _other(port: int, key: str) -> float:
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        print(f"another request was answered {head!r}")
    return time.perf_counter() - began


async def _end_jobs() -> None:
    async with Client.open(load_settings()) as client, client._database.unit_of_work() as work:  # noqa: SLF001 - no call ends jobs without a worker
        await work.execute(text(ENDED))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--at-a-time", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0, help="for which all streams are left open")
    options = parser.parse_args()
    allow_open_files(options.streams + SPARE_FILES)
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedStack(Path(directory) / "home") as stack:
            os.environ.update(
                DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url, LOG_FORMAT="json", LOG_LEVEL="warning",
                HTTP_MAX_STREAMS=str(options.streams),
            )  # fmt: skip
            asyncio.run(upgrade(asyncpg_url(stack.database_url)))
            print(f"{machine()}; {options.streams:,} streams", flush=True)
            with service() as server:
                complete = asyncio.run(measure(server, options))
    if not complete:
        sys.exit("not every stream was answered and had its last event")


if __name__ == "__main__":
    main()
