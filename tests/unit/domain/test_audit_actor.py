"""Addresses and agents of the audit log's entries."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.audit import MAX_AGENT_LENGTH, Actor, parse_address


@pytest.mark.parametrize(
    ("given_text", "stored"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("192.0.2.7:443", None),
        ("192.0.2.7, 198.51.100.1", None),
        ("192.0.2.0/24", None),
        ("unknown", None),
        ("1", None),
        ("", None),
        (None, None),
        ("'); DROP TABLE audit_logs; --", None),
        ("192.0.2.7\x00", None),
    ],
)
def test_only_one_whole_address_is_stored(given_text: str | None, stored: str | None) -> None:
    found = parse_address(given_text)
    assert found is None if stored is None else ipaddress.ip_address(found or "") == ipaddress.ip_address(stored)


@given(st.ip_addresses())
def test_every_address_is_stored_as_it_is(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert ipaddress.ip_address(parse_address(str(address)) or "") == address


@given(st.one_of(st.none(), st.text()))
def test_an_agent_is_one_printable_line_or_none(agent: str | None) -> None:
    stored = Actor.from_request(None, agent).user_agent
    assert stored is None or (0 < len(stored) <= MAX_AGENT_LENGTH and "\n" not in stored)


def test_a_long_agent_is_cut() -> None:
    stored = Actor.from_request(None, "x" * 10_000).user_agent
    assert stored is not None
    assert len(stored) == MAX_AGENT_LENGTH
