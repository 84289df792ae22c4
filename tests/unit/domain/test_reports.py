"""Shared reports: their states, and what is refused."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import InvalidInputError, ReportGoneError
from domain.reports import CODE_LENGTH, MAX_VIEWS, ReportRequest, SharedReport, encode_password, is_code

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def report(**values: Any) -> SharedReport:
    fields: dict[str, Any] = {
        **dict.fromkeys(("report_id", "run_id", "owner_id"), uuid.UUID(int=1)),
        **dict.fromkeys(("created_at", "updated_at"), NOW - timedelta(days=1)),
        **dict.fromkeys(("expires_at", "max_views", "last_viewed_at")),
        "code": "a" * CODE_LENGTH,
        "is_public": True,
        "has_password": False,
        "view_count": 0,
    }
    return SharedReport(**{**fields, **values})


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "open"),
        ({"expires_at": NOW + timedelta(seconds=1)}, "open"),
        ({"expires_at": NOW}, "expired"),
        ({"max_views": 3, "view_count": 2}, "open"),
        ({"max_views": 3, "view_count": 3}, "used up"),
        ({"is_public": False, "expires_at": NOW}, "withdrawn"),
    ],
)
def test_state_of_a_report(values: dict[str, Any], state: str) -> None:
    assert report(**values).state(NOW) == state == report(**values).to_json(NOW)["state"]
    if state in ("expired", "used up"):
        with pytest.raises(ReportGoneError):
            report(**values).require_open(NOW)
    else:
        report(**values).require_open(NOW)


def test_a_report_as_json_has_no_hash_and_no_owner() -> None:
    assert {"password_hash", "owner_id"}.isdisjoint(report(has_password=True).to_json(NOW))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"expires_at": NOW}, "must expire in the future"),
        ({"expires_at": datetime(2027, 1, 1)}, "with its time zone"),  # noqa: DTZ001 - wanted
        ({"max_views": 0}, "can be seen 1 to"),
        ({"max_views": -1}, "can be seen 1 to"),
        ({"max_views": MAX_VIEWS + 1}, "can be seen 1 to"),
        ({"max_views": True}, "can be seen 1 to"),
        ({"password": ""}, "the password is empty"),
        ({"password": b"bytes"}, "the password is empty"),
        ({"password": "x" * 10_000_000}, "has 10000000 characters; give one of at most 1024 bytes"),
        ({"password": "\u00e4" * 600}, "has 1200 bytes; give one of at most 1024 bytes"),
        ({"password": "\ud800"}, "cannot be encoded"),
    ],
)
def test_other_requests_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"password": None, "expires_at": None, "max_views": None, **values}
    with pytest.raises(InvalidInputError) as refused:
        ReportRequest.checked(**given, now=NOW)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_password_is_the_same_however_it_was_typed() -> None:
    assert encode_password("\u00e4") == encode_password("a\u0308")
    assert encode_password("x" * 1024) == b"x" * 1024


@pytest.mark.parametrize(
    "text", ["", "x" * 21, "x" * 23, "x" * 21 + "\n", "x" * 21 + "-", "\u0661" * 22, None, 7, "x" * 10**6]
)
def test_other_texts_are_no_codes(text: Any) -> None:
    assert not is_code(text)
    assert is_code("aZ0" + "x" * 19)
