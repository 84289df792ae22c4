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
_AS_ONE: ContextVar[bool] = ContextVar("supervisor_kills_descendants", default=False)


@contextmanager
def supervisor_kills_descendants() -> Iterator[None]:
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


def preexec_function() -> Callable[[], None] | None:
    """Return the `preexec_fn` for `subprocess`; None within `supervisor_kills_descendants`.

    It runs between `fork` and `exec`, does little there, and takes no lock that another thread could hold: the other
    thread of a pool process only waits for the thread that works.
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
