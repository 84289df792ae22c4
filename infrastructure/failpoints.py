"""Places where a test may kill or block the worker. Off unless `VIBE8_FAILPOINTS` names them, as only tests do.

`VIBE8_FAILPOINTS=before-commit` dies there as by a power cut; `before-commit=45` blocks the event loop for 45 s, once.
"""

import os
import signal
import time

_VARIABLE = "VIBE8_FAILPOINTS"
_passed: set[str] = set()


def failpoint(name: str) -> None:
    """Act if the environment names this point (comma-separated)."""
    for point in filter(None, os.environ.get(_VARIABLE, "").split(",")):
        named, _, seconds = point.partition("=")
        if named != name or name in _passed:
            continue
        _passed.add(name)
        if seconds:
            time.sleep(float(seconds))
        else:
            os.kill(os.getpid(), signal.SIGKILL)
