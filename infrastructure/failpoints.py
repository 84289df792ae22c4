"""Places where a test may kill the worker. Off unless `VIBE8_FAILPOINTS` names them, which nothing but a test does."""

import os
import signal

_VARIABLE = "VIBE8_FAILPOINTS"


def failpoint(name: str) -> None:
    """Die here at once, as by a power cut, if the environment names this point (comma-separated)."""
    named = os.environ.get(_VARIABLE)
    if named and name in named.split(","):
        os.kill(os.getpid(), signal.SIGKILL)
