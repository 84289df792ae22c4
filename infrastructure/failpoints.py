"""Failpoints: named places in the code where a test can kill or block the process.

Only tests set `VIBE8_FAILPOINTS`; without it failpoints do nothing. `VIBE8_FAILPOINTS=before-commit` kills the process
with SIGKILL when it reaches that point. `VIBE8_FAILPOINTS=before-commit=45` blocks it there for 45 seconds, once.
"""

import os
import signal
import time

_VARIABLE = "VIBE8_FAILPOINTS"
_triggered: set[str] = set()


def failpoint(name: str) -> None:
    """Kill or block this process if the environment names the point (several are separated by commas)."""
    for point in filter(None, os.environ.get(_VARIABLE, "").split(",")):
        point_name, _, seconds = point.partition("=")
        if point_name != name or name in _triggered:
            continue
        _triggered.add(name)
        if seconds:
            time.sleep(float(seconds))
        else:
            os.kill(os.getpid(), signal.SIGKILL)
