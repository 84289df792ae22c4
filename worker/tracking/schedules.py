"""Times of a schedule, by the library cronsim."""

from datetime import datetime

from cronsim import CronSim, CronSimError

from domain.errors import InvalidInputError
from domain.text import one_line
from domain.tracking.schedules import ADVICE, cron_expression, normalize_schedule


def parse_schedule(text: str, now: datetime) -> str:
    """Return the schedule as it is stored.

    Raises InvalidInputError for text that is no schedule, and for one that never comes, such as the 30th of February.
    """
    schedule = normalize_schedule(text)
    next_time(schedule, now)
    return schedule


def next_time(schedule: str, now: datetime) -> datetime:
    """Return the first time of a stored schedule after `now`, which is in UTC. Times before `now` are passed over.

    Raises InvalidInputError for a schedule that has none in the next 50 years, or cannot be read.
    """
    try:
        return next(CronSim(cron_expression(schedule), now))
    except CronSimError as error:
        raise InvalidInputError(f"the schedule {one_line(schedule, 80)!r} cannot be read ({error}); {ADVICE}") from None
    except StopIteration:
        raise InvalidInputError(f"the schedule {one_line(schedule, 80)!r} never comes: it names no day") from None
