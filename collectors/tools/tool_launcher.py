"""What a process does before it becomes a native tool: it will die with us, dump no core, write no file."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STACK_BYTES = 64 * 1024 * 1024
"""Of the tool's main thread: as deep as its others."""

_LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_STACK: STACK_BYTES}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_AS_ONE: ContextVar[bool] = ContextVar("ended_as_one", default=False)


@contextmanager
def ended_as_one() -> Iterator[None]:
    """Within this, whoever ends our process is trusted to end all that it has started, too.

    Tools then start without a fork of our whole memory, which takes as long as a small file's analysis.
    """
    before = {kind: resource.getrlimit(kind) for kind in _LIMITS}
    token = _AS_ONE.set(True)
    try:
        _limit()
        yield
    finally:
        _AS_ONE.reset(token)
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def preparation() -> Callable[[], None] | None:
    """What the new process runs between `fork` and `exec`, for `subprocess`'s `preexec_fn`; None within `ended_as_one`.

    Little runs there, and nothing that needs a lock which another thread could hold: a lane's other thread only
    waits for the one that works.
    """
    if _AS_ONE.get():
        return None
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it was gone before it could be watched
                os.kill(os.getpid(), signal.SIGKILL)
        _limit()

    return prepare


def _limit() -> None:
    """Set the soft limits, or to the hard limits where those are lower."""
    for kind, most in _LIMITS.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
