"""How a schedule is written: five fields of cron, or the name of a period. All are in UTC."""

from domain.errors import InvalidInputError
from domain.text import one_line

PERIODS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0"}
"""Names of schedules, and the cron expression of each."""

FIELDS = 5
MAX_SCHEDULE_LENGTH = 100
ADVICE = "write five fields (minute hour day month weekday), or hourly, daily or weekly; times are in UTC"


def normalize_schedule(text: str) -> str:
    """Return the schedule as it is stored: in lower case, with one space between two fields.

    Only the number of fields is checked. Raises InvalidInputError for text that is neither five fields nor a period:
    six fields would have seconds.
    """
    if len(text) > MAX_SCHEDULE_LENGTH or not text.isascii():
        raise InvalidInputError(f"a schedule has at most {MAX_SCHEDULE_LENGTH} ASCII characters; {ADVICE}")
    fields = text.lower().split()
    if len(fields) == FIELDS or (len(fields) == 1 and fields[0] in PERIODS):
        return " ".join(fields)
    raise InvalidInputError(f"the schedule {one_line(text, 80)!r} is not five fields; {ADVICE}")


def cron_expression(schedule: str) -> str:
    """Return the five fields of a stored schedule."""
    return PERIODS.get(schedule, schedule)
