"""Limits of a native tool's process: it dumps no core, writes no file, and dies with this process."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from domain.ports import ProcessControl

STACK_BYTES = 64 * 1024 * 1024
"""Stack of the tool's main thread: as much as its other threads get."""

_SOFT_LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_STACK: STACK_BYTES}
_SUPERVISED: ContextVar[bool] = ContextVar("supervisor_kills_descendants", default=False)


@contextmanager
def supervisor_kills_descendants() -> Iterator[None]:
    """Declare that whatever kills this process also kills its descendants.

    Tools started within this context need no `preexec_fn` for that, so `subprocess` can start them without copying this
    process's page tables, which takes as long as analysing a small file. They inherit the limits, which this process
    sets for itself and restores at the end.
    """
    before = {kind: resource.getrlimit(kind) for kind in _SOFT_LIMITS}
    token = _SUPERVISED.set(True)
    try:
        _set_soft_limits()
        yield
    finally:
        _SUPERVISED.reset(token)
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def preexec_function(process_control: ProcessControl) -> Callable[[], None] | None:
    """Return the `preexec_fn` for `subprocess`; None within `supervisor_kills_descendants`.

    It runs between `fork` and `exec`, does little there, and takes no lock that another thread could hold: the other
    thread of a pool process only waits for the thread that works.
    """
    if _SUPERVISED.get():
        return None
    parent = os.getpid()

    def prepare() -> None:
        process_control.set_parent_death_signal(parent)
        _set_soft_limits()

    return prepare


def _set_soft_limits() -> None:
    """Set each soft limit to its value, or to the hard limit where that is lower."""
    for kind, limit in _SOFT_LIMITS.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
