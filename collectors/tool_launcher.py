"""What a new process does before it becomes a native tool: it dies with us, dumps no core, writes no file."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable

STACK_BYTES = 64 * 1024 * 1024
"""Of the tool's main thread: as deep as its others."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def preparation() -> Callable[[], None]:
    """What the new process runs between `fork` and `exec`, for `subprocess`'s `preexec_fn`.

    Little runs there, and nothing that needs a lock which another thread could hold: a lane's other thread only
    waits for the one that works.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it was gone before it could be watched
                os.kill(os.getpid(), signal.SIGKILL)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_STACK, STACK_BYTES)

    return prepare


def _limit(kind: int, most: int) -> None:
    """Set the soft limit to `most`, or to the hard limit where that is lower."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
