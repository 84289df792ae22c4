"""Measure one peer: `python -m benchmarks.peers.run PEER [REPLICAS JOBS]`, with what requirements-bench.lock installs.

Prints one JSON object: what the peer is, and with REPLICAS and JOBS also its jobs a second. Exits with status 2 and one
line where the peer is not installed.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import cast

from benchmarks.peers.peer import Peer

POLL_SECONDS = 0.5
DEADLINE_SECONDS = 300.0
STOP_SECONDS = 30.0


async def measure(peer: Peer, replicas: int, count: int) -> float:
    """Return the jobs per second of so many workers, from the first start of a task to the last end."""
    await peer.submit(count)
    with workers(peer.worker_command(), replicas) as running:
        deadline = time.monotonic() + DEADLINE_SECONDS
        ended = 0
        while ended < count:
            if any(process.poll() is not None for process in running):
                raise SystemExit("a worker has ended early")
            if time.monotonic() > deadline:
                raise SystemExit(f"only {ended} of {count} jobs have ended after {DEADLINE_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
            ended, first, last = await peer.moments()
    if ended != count:
        raise SystemExit(f"{ended} jobs have ended, of {count}")
    return count / (last - first)


@contextmanager
def workers(command: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run so many workers; stop them at the end. What they print goes to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    running = [
        subprocess.Popen(command, stdout=sys.stderr, env=environment, start_new_session=True) for _ in range(count)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def load(name: str) -> Peer:
    """Import a peer's module. Exits with status 2 and one line where what it needs is not installed."""
    try:
        return cast("Peer", importlib.import_module(f"benchmarks.peers.{name}"))
    except ModuleNotFoundError as error:
        print(f"the peer {name} is not installed ({error}): make bench-queue installs it", file=sys.stderr)
        raise SystemExit(2) from error


def main() -> None:
    name, *numbers = sys.argv[1:]
    peer = load(name)
    document = asdict(peer.ABOUT)
    document["versions"] = ", ".join(f"{package} {version(package)}" for package in peer.ABOUT.packages)
    if numbers:
        replicas, count = map(int, numbers)
        document["rate"] = asyncio.run(measure(peer, replicas, count))
    print(json.dumps(document))


if __name__ == "__main__":
    main()
