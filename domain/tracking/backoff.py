"""When a repository is checked again after a check that failed or was refused by a limit."""

from datetime import datetime, timedelta

FIRST_DELAY_SECONDS = 60.0
MAX_FAILURE_SECONDS = 86_400.0
MAX_REFUSAL_SECONDS = 900.0
_LARGEST_EXPONENT = 12


def failure_delay(failures: int) -> timedelta:
    """Return the delay after that many failed checks, counted from 1: 1, 4, 16, 64 minutes ... at most a day."""
    factor = 4.0 ** min(failures - 1, _LARGEST_EXPONENT)
    return timedelta(seconds=min(MAX_FAILURE_SECONDS, FIRST_DELAY_SECONDS * factor))


def refusal_delay(refusals: int) -> timedelta:
    """Return the delay after a limit of the owner refused an analysis: 1, 2, 4 minutes ... at most 15 minutes."""
    factor = 2.0 ** min(refusals - 1, _LARGEST_EXPONENT)
    return timedelta(seconds=min(MAX_REFUSAL_SECONDS, FIRST_DELAY_SECONDS * factor))


def time_after_failure(now: datetime, failures: int, scheduled: datetime | None, *, may_pass: bool) -> datetime | None:
    """Return when to check again; None for never without a schedule.

    A failure that `may_pass` is tried again after its delay, whatever the schedule says: a weekly one would miss a
    push for a week. Any other is not checked more often than scheduled.
    """
    again = now + failure_delay(failures)
    if may_pass:
        return again
    return None if scheduled is None else max(again, scheduled)
