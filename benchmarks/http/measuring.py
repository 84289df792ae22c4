"""Requests a second, latencies and CPU time of one server, measured by a load program beside it."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from benchmarks.http.bare import Access, Statement, serve_bare
from benchmarks.http.seeds import Route
from benchmarks.queue.bench import free_port

START_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one measurement found. `cpu_ms` is the server process's CPU time for one request."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine, of one process."""

    port: int
    pid: int

    def measure(self, route: Route, *options: str) -> Figures:
        """Send the route's request for a while; `options` are those of `benchmarks.http.load`."""
        headers = [f"--header={name}: {value}" for name, value in route.headers.items()]
        url = f"http://127.0.0.1:{self.port}{route.path}"
        before = self._cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.http.load", url, *headers, *options], stdout=subprocess.PIPE, check=True
        )
        used, found = self._cpu_seconds() - before, json.loads(done.stdout)
        return Figures(cpu_ms=used / found.pop("requests") * 1000, **found)

    def _cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def service() -> Iterator[Server]:
    """Run `vibe8 serve` with the settings of this process's environment."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "serve"], env={**os.environ, "HTTP_PORT": str(port), "STATUS_PORT": ""}
    )
    try:
        _wait_until_listening(port)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def bare(database_url: str, routes: Mapping[str, Sequence[Statement]], access: Access) -> Iterator[Server]:
    """Run the bare routes."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(port, database_url, routes, access))
    process.start()
    try:
        _wait_until_listening(port)
        yield Server(port, process.pid or 0)
    finally:
        process.terminate()
        process.join()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port} after {START_SECONDS:.0f} s")
