"""What the children of `test_children.py` do: each is an entry that the zygote calls by name."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from domain.errors import InvalidInputError

Tell = Callable[[Mapping[str, Any]], None]


def echo(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    tell({"stage": "echoing"})
    return {"said": request["say"], "environment": dict(os.environ), "pid": os.getpid(), "parent": os.getppid()}


def remember(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """How often a secret stands in this process's memory: one that the request tells, or tells the two halves of."""
    first, second = request.get("half") or (request["say"][:26], request["say"][26:])
    pattern = re.compile(b"%b[%b]%b" % (first.encode(), second[:1].encode(), second[1:].encode()))
    found = 0
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for line in maps:
            start, _, end = line.partition(" ")[0].partition("-")
            if line.split()[1].startswith("rw"):
                memory.seek(int(start, 16))
                found += len(pattern.findall(memory.read(int(end, 16) - int(start, 16))))
    return {"found": found, "parent": os.getppid()}


def refuse(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    raise InvalidInputError("no good:\nsecond line")


def blunder(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    raise KeyError("x")


def die(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    os.kill(os.getpid(), request["signal"])
    raise AssertionError("unreachable")


def hoard(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    return {"bytes": len(bytearray(request["bytes"]))}


def share_the_channel(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Two processes that hold the channel: this one, and one that outlives it."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    tell({"pids": [os.getpid(), pid]})
    time.sleep(3600)
    return {}


def sleep_with_offspring(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Three processes: this one, one of its group, and one that has made itself a session of its own."""
    pids = [os.getpid()]
    for own_session in (False, True):
        sleeper = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=own_session
        )
        pids.append(sleeper.pid)
    tell({"pids": pids})
    time.sleep(3600)
    return {}
