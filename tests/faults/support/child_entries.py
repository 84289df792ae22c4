"""Entry functions for the children of `test_children.py`; the runner calls them by name."""

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from domain.errors import InvalidInputError

ReportProgress = Callable[[Mapping[str, Any]], None]


def echo(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    report_progress({"stage": "echoing"})
    return {"text": request["text"], "environment": dict(os.environ), "pid": os.getpid(), "parent": os.getppid()}


def search_memory(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Count the occurrences of a secret in this process's memory.

    The request holds the secret, or only its two halves, so that the request itself is not found.
    """
    first, second = request.get("halves") or (request["secret"][:26], request["secret"][26:])
    pattern = re.compile(b"%b[%b]%b" % (first.encode(), second[:1].encode(), second[1:].encode()))
    found = 0
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for line in maps:
            start, _, end = line.partition(" ")[0].partition("-")
            if line.split()[1].startswith("rw"):
                memory.seek(int(start, 16))
                found += len(pattern.findall(memory.read(int(end, 16) - int(start, 16))))
    return {"found": found, "parent": os.getppid()}


def look_at_garbage_collection(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    return {"enabled": gc.isenabled(), "frozen": gc.get_freeze_count(), "tracked": len(gc.get_objects())}


def raise_permanent_error(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    raise InvalidInputError("no good:\nsecond line")


def raise_key_error(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    raise KeyError("x")


def kill_itself(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    os.kill(os.getpid(), request["signal"])
    raise AssertionError("unreachable")


def allocate(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    return {"bytes": len(bytearray(request["bytes"]))}


def share_the_channel(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Fork a process that also holds the channel and outlives this one."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    report_progress({"pids": [os.getpid(), pid]})
    time.sleep(3600)
    return {}


def sleep_with_descendants(request: Mapping[str, Any], report_progress: ReportProgress) -> Mapping[str, Any]:
    """Sleep beside two descendants: one in this process group, and one in a session of its own."""
    pids = [os.getpid()]
    for own_session in (False, True):
        sleeper = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=own_session
        )
        pids.append(sleeper.pid)
    report_progress({"pids": pids})
    time.sleep(3600)
    return {}
