"""Run units of one step in this process, each for as long as it may take and no longer.

For little work on plain data, where a process of its own would cost more than the work.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from collectors.lanes import Unit, UnitResult, run_unit


def can_hear() -> bool:
    """Whether this thread is the one that hears alarms."""
    return threading.current_thread() is threading.main_thread()


def run_alarmed(units: Sequence[Unit], on_result: Callable[[int, UnitResult], None]) -> None:
    """Run them in order; what is not done by its deadline counts as failed. Only where `can_hear`."""
    for index, unit in enumerate(units):
        try:
            with _alarm(unit.deadline):
                result = run_unit(unit)
        except TimeoutError as error:  # it came between the step and the end of the alarm
            result = UnitResult(failures={name: str(error) for name, _ in unit.steps()})
        on_result(index, result)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, and again each second should it not end."""

    def ring(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the interpreter's own signature
        raise TimeoutError(f"no answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
