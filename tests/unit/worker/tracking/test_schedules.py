"""Schedules: what is accepted, what is refused, and the times that they name."""

from datetime import UTC, datetime

import pytest

from domain.errors import InvalidInputError
from worker.tracking.schedules import next_time, parse_schedule

NOW = datetime(2026, 12, 1, 10, 30, 15, 500, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "stored", "following"),
    [
        ("hourly", "hourly", datetime(2026, 12, 1, 11, tzinfo=UTC)),
        ("Daily", "daily", datetime(2026, 12, 2, tzinfo=UTC)),
        ("weekly", "weekly", datetime(2026, 12, 6, tzinfo=UTC)),  # a Sunday
        ("  */15   8-17 * *  MON-FRI ", "*/15 8-17 * * mon-fri", datetime(2026, 12, 1, 10, 45, tzinfo=UTC)),
        ("* * * * *", "* * * * *", datetime(2026, 12, 1, 10, 31, tzinfo=UTC)),
        ("30 10 * * *", "30 10 * * *", datetime(2026, 12, 2, 10, 30, tzinfo=UTC)),
        ("0 0 29 2 *", "0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_schedule_is_stored_in_one_form_and_has_a_next_time(text: str, stored: str, following: datetime) -> None:
    assert parse_schedule(text, NOW) == stored
    assert next_time(stored, NOW) == following


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * * * *",  # each second
        "*/5 * * * * *",
        "@daily",
        "yearly",
        "0 0 30 2 *",  # never
        "0 0 31 2,4,6 *",
        "60 * * * *",
        "* * * *",
        "a b c d e",
        "* * * * *\0",
        "٣ * * * *",
        "0 " * 4 + "*/0",
        "*," * 200 + "* * * * *",
        "0 0 0 * *",
        "- - - - -",
        "9999999999999999999999 * * * *",
    ],
)
def test_what_is_no_schedule_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_schedule(text, NOW)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
