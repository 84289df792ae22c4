"""Whether a child that was killed at its deadline still made progress: only then can another attempt end in time."""

import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from domain.errors import AnalysisKilledError, PermanentError
from domain.ports import ProgressListener
from domain.text import JSON

STALL_SHARE = 0.5
"""A child that has made no progress for this share of its time limit hangs: it is not merely slow."""

T = TypeVar("T")


class ProgressWatch:
    """Watch over one child's progress. It notes when a stage or its percentage last changed, and passes reports on."""

    def __init__(self, deadline: float, on_progress: ProgressListener) -> None:
        """`deadline` is the child's time limit in seconds, from now on."""
        self._deadline = deadline
        self._on_progress = on_progress
        self._last: tuple[JSON, JSON] | None = None
        self._changed_at = time.monotonic()

    async def listen(self, progress: Mapping[str, JSON]) -> None:
        """Take a report."""
        if "stage" in progress:
            position = (progress["stage"], progress.get("progress"))
            if position != self._last:
                self._last, self._changed_at = position, time.monotonic()
        await self._on_progress(progress)

    async def result_of(self, child: Awaitable[T]) -> T:
        """Return the child's result.

        Raises what the child raises, and PermanentError where it was killed at its deadline and made no progress in the
        last half of that time: another attempt would hang in the same way.
        """
        try:
            return await child
        except AnalysisKilledError as error:
            stalled = time.monotonic() - self._changed_at
            if error.timed_out and stalled >= STALL_SHARE * self._deadline:
                raise PermanentError(f"{error}; it made no progress in the last {stalled:.0f} s") from error
            raise
