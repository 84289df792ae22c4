"""What SAQ's two servers have in common: a task, a worker's settings, and how the document of a job is read."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from saq import Queue

from benchmarks.peers.peer import SLOTS

OPEN = ("new", "queued", "active")
"""Statuses of jobs that have not ended."""


async def nothing(_: dict[str, Any]) -> None:
    """Do nothing."""


def worker_settings(queue: Queue) -> dict[str, Any]:
    """Return the settings that SAQ's own program reads."""
    return {"queue": queue, "functions": [nothing], "concurrency": SLOTS}


def worker_command(module: str) -> Sequence[str]:
    """Return the command of a worker with the settings in the module."""
    return [str(Path(sys.executable).with_name("saq")), f"{module}.settings"]


def moments_of(documents: Iterable[bytes]) -> tuple[int, float, float]:
    """Return how many of these jobs have ended, and when the first began and the last ended.

    Jobs that the sweeper of a starting worker takes for stuck ones, and aborts, count as ended: it is one or two.
    """
    jobs = [job for job in map(json.loads, documents) if job["status"] not in OPEN]
    times = [job for job in jobs if job["status"] == "complete"]
    started, completed = [job["started"] for job in times], [job["completed"] for job in times]
    return len(jobs), min(started, default=0) / 1000, max(completed, default=0) / 1000
