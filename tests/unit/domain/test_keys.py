"""API keys: their text, and what a new one may be."""

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError, InvalidKeyError, PermissionDeniedError
from domain.keys import (
    DEFAULT_RATE_LIMIT,
    KEY_LENGTH,
    MAX_RATE_LIMIT,
    AuthenticatedKey,
    KeyRequest,
    Permission,
    RateLimit,
    hash_key,
    make_key,
    parse_permissions,
    parse_prefix,
    require_usable,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PREFIX = "k3j2h4g5f6d7"
SECRET = "_" * 43


def request(**changed: Any) -> KeyRequest:
    values: dict[str, Any] = {
        "name": "ci", "permissions": ["read"], "rate_limit": 10, "expires_at": None, "now": NOW, "by_operator": False,
    }  # fmt: skip
    return KeyRequest.checked(**{**values, **changed})


@given(st.binary(min_size=32, max_size=32))
def test_a_key_has_its_prefix_whatever_its_secret_holds(secret: bytes) -> None:
    text = make_key(PREFIX, base64.urlsafe_b64encode(secret).decode().rstrip("="))
    assert len(text) == KEY_LENGTH
    assert parse_prefix(text) == PREFIX
    assert text.split("_", 2)[1] == PREFIX


@pytest.mark.parametrize(
    "text",
    [
        "", "v8", "v8__", PREFIX, f"v8_{PREFIX}", f"v8_{PREFIX}_", f"v8_{PREFIX}_{SECRET[1:]}",
        f"v8_{PREFIX}_{SECRET}_",
        f"v9_{PREFIX}_{SECRET}", f"V8_{PREFIX}_{SECRET}", f"v8_{PREFIX.upper()}_{SECRET}", f"v8-{PREFIX}-{SECRET}",
        f"v8_{PREFIX[1:]}__{SECRET}", f" v8_{PREFIX}_{SECRET[2:]} ", f"v8_{PREFIX}_{SECRET[1:]}\n",
        f"v8_{PREFIX}_{SECRET[1:]}\x00", f"v8_{PREFIX}_{SECRET[1:]}é", f"v8_{PREFIX[1:]}٣_{SECRET}",
        f"v8_{PREFIX}_{SECRET[1:]}\ud800", f"v8_{PREFIX}_" + "x" * 10_000_000, "_" * 10_000_000, "\x00" * 10_000_000,
    ],
)  # fmt: skip
def test_other_texts_are_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        parse_prefix(text)
    assert str(caught.value) == "the API key is not valid"


@pytest.mark.parametrize("value", [None, 5, b"v8_", ["v8_"], {}])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidKeyError):
        parse_prefix(value)


@given(st.text())
def test_any_text_is_a_key_or_refused(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        parse_prefix(text)


def test_the_hash_is_sha_256_of_the_whole_text() -> None:
    text = make_key(PREFIX, secrets.token_urlsafe(32))
    assert hash_key(text) == hashlib.sha256(text.encode()).digest()


def test_who_has_the_key_learns_why_it_cannot_be_used() -> None:
    require_usable(is_active=True, expired=False)
    with pytest.raises(InvalidKeyError, match="revoked"):
        require_usable(is_active=False, expired=True)
    with pytest.raises(InvalidKeyError, match="expired"):
        require_usable(is_active=True, expired=True)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b", "a\nb", "\ud800", "\u202eabc", None, 5, ["ci"]])
def test_names_that_cannot_be_shown_are_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="name"):
        request(name=name)


@pytest.mark.parametrize("limit", [0, -1, MAX_RATE_LIMIT + 1, 10**30, True, 1.5, "10", None, float("nan")])
def test_rate_limits_out_of_range_are_refused(limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="rate limit"):
        request(rate_limit=limit, by_operator=True)


@pytest.mark.parametrize(
    "expires_at",
    [NOW, NOW - timedelta(days=1), datetime(2030, 1, 1), datetime.min, datetime.max],  # noqa: DTZ001, DTZ901
)
def test_ends_in_the_past_or_without_time_zone_are_refused(expires_at: datetime) -> None:
    with pytest.raises(InvalidInputError, match="expire"):
        request(expires_at=expires_at)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-12)), timezone(timedelta(hours=14))])
def test_an_end_is_compared_whatever_its_time_zone(zone: timezone) -> None:
    later = (NOW + timedelta(seconds=1)).astimezone(zone)
    assert request(expires_at=later).expires_at == later


@pytest.mark.parametrize(
    "names", [(), [], "read", {"read": 1}, ["fly"], ["READ"], [None], [5], ["read", "\x00"], ["x" * 10**6], None, 5]
)
def test_unknown_permissions_are_refused_in_one_line(names: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_permissions(names)
    assert "read, submit, manage, operate" in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_permission_counts_once() -> None:
    assert parse_permissions(["read", "read", "manage"]) == {Permission.READ, Permission.MANAGE}


def test_operators_alone_make_keys_that_operate_or_have_a_higher_limit() -> None:
    with pytest.raises(PermissionDeniedError, match="operate"):
        request(permissions=["read", "operate"])
    with pytest.raises(PermissionDeniedError, match=str(DEFAULT_RATE_LIMIT)):
        request(rate_limit=DEFAULT_RATE_LIMIT + 1)
    made = request(permissions=["operate"], rate_limit=MAX_RATE_LIMIT, by_operator=True)
    assert made.permissions == frozenset({Permission.OPERATE})
    assert made.rate_limit == MAX_RATE_LIMIT


def test_a_permission_includes_no_other() -> None:
    limit = RateLimit(limit=1, remaining=1, reset_seconds=1)
    for held in Permission:
        key = AuthenticatedKey(key_id=None, user_id=None, permissions=frozenset({held}), rate_limit=limit)  # type: ignore[arg-type]
        key.require(held)
        for other in set(Permission) - {held}:
            with pytest.raises(PermissionDeniedError, match=str(other)):
                key.require(other)
