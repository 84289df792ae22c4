"""A program that sends one request again and again, and prints what came back: `python -m benchmarks.http.load`.

It runs as a process of its own, so that its time is not the server's. Each connection is kept open and sends its next
request when the answer to the one before is complete, after a pause if one is given.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Load:
    """What all connections send, and what they found."""

    request: bytes
    pause: float
    count_from: float
    """The time (`time.perf_counter`) from which an answer counts."""
    answers: int = 0
    """All answers, also those before `count_from`."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from a request to its complete answer."""
    refused: bytes | None = None
    """An answer that is not 200."""


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load, self._received, self._sent_at = load, b"", 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END_OF_HEAD)
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._load.refused = self._received
            return
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._received = b""
        self._note(time.perf_counter())
        if self._load.pause:
            asyncio.get_running_loop().call_later(self._load.pause, self._send)
        else:
            self._send()

    def _note(self, now: float) -> None:
        self._load.answers += 1
        if now >= self._load.count_from:
            self._load.latencies.append(now - self._sent_at)


async def _run(options: argparse.Namespace) -> Load:
    parts = urlsplit(options.url)
    head = [f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", *options.header]
    request = ("\r\n".join(head) + "\r\n\r\n").encode()
    load = Load(request, options.pause, time.perf_counter() + options.warm_up)
    for _ in range(options.connections):
        await asyncio.get_running_loop().create_connection(lambda: _Connection(load), parts.hostname, parts.port)
    await asyncio.sleep(options.warm_up + options.seconds)
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--header", action="append", default=[], help="a line of the request's head")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds from an answer to the next request")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before the first answer that counts")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(_run(options))
    if load.refused is not None or not load.latencies:
        sys.exit(f"{options.url} was answered: {(load.refused or b'(nothing)')[:500]!r}")
    latencies = sorted(load.latencies)
    figures = {
        "requests": load.answers,
        "rate": len(latencies) / options.seconds,
        "p50_ms": statistics.median(latencies) * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
