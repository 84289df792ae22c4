"""Decoding, events, addresses, errors and retries of the Python client, without a connection."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe8 import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    InvalidAnswerError,
    LimitExceededError,
    RateLimitedError,
    Retry,
    ServiceUnavailableError,
    Vibe8Error,
)
from vibe8.errors import FieldError, InvalidRequestError, NotFoundError, ProblemError, ServiceError
from vibe8.models.decoding import decode
from vibe8.protocol.events import MAX_EVENT_BYTES, EventDecoder
from vibe8.protocol.problems import error_of, retry_after
from vibe8.protocol.requests import segment
from vibe8.protocol.retries import Attempts
from vibe8.protocol.service_address import ServiceAddress


@dataclass(frozen=True, kw_only=True)
class Inner:
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    share: float | None
    flags: Mapping[str, bool]
    inner: Sequence[Inner]
    document: Mapping[str, Any]
    later: int = 7


GOOD = {
    "name": "n",
    "share": 1,
    "flags": {"a": True},
    "inner": [{"at": "2026-12-01T09:30:00Z"}],
    "document": {"x": [1]},
}


def test_documents_become_records_and_unknown_fields_are_ignored() -> None:
    newer = {**GOOD, "added": {"in": "a newer service"}, "inner": [{"at": "2026-12-01T09:30:00+00:00", "added": 1}]}
    for document in (GOOD, newer):
        assert decode(Outer, document) == Outer(
            name="n",
            share=1.0,
            flags={"a": True},
            inner=(Inner(at=datetime(2026, 12, 1, 9, 30, tzinfo=UTC)),),
            document={"x": [1]},
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "the answer.name is no str"),
        ({"name": 1}, "the answer.name is no str"),
        ({"share": "1"}, "the answer.share is no float"),
        ({"share": True}, "the answer.share is no float"),
        ({"later": 1.5}, "the answer.later is no int"),
        ({"flags": {"a": 1}}, "the answer.flags.a is no bool"),
        ({"flags": []}, "the answer.flags is not an object"),
        ({"inner": {}}, "the answer.inner is not a list"),
        ({"inner": [{}]}, "the answer.inner[0] has no field at"),
        ({"inner": [{"at": "yesterday"}]}, "the answer.inner[0].at is no time"),
        ({"inner": [{"at": 1}]}, "the answer.inner[0].at is no time"),
    ],
)
def test_what_is_not_as_described_is_named(change: Mapping[str, object], message: str) -> None:
    with pytest.raises(InvalidAnswerError) as raised:
        decode(Outer, {**GOOD, **change})
    assert str(raised.value) == message


STREAM = (
    b"retry: 1500\n\n: still here\n\nevent: job\nid: a1\ndata: {\ndata: }\n\n"
    b"event: other\r\ndata:x\r\n\r\nid: b\xc3\xa92\rdata: last\r\rdata: never ended"
)


def pieces_of(cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(STREAM), *(cut % len(STREAM) for cut in cuts)})
    return [STREAM[start:end] for start, end in pairwise(places)]


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    decoder = EventDecoder()
    found = [event for piece in pieces_of(cuts) for event in decoder.feed(piece)]
    assert [(event.name, event.data, event.last_id) for event in found] == [
        ("job", "{\n}", "a1"),
        ("other", "x", "a1"),
        ("message", "last", "bé2"),
    ]
    assert (decoder.retry_seconds, decoder.last_id) == (1.5, "bé2")


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000 + b"\n", b"x" * 1000, b": " + b"c" * 1000 + b"\n"])
def test_an_event_without_an_end_is_refused(line: bytes) -> None:
    decoder, length = EventDecoder(), len(line.rstrip(b"\n"))
    for _ in range(MAX_EVENT_BYTES // length):
        decoder.feed(line)
    with pytest.raises(InvalidAnswerError, match=str(MAX_EVENT_BYTES)):
        decoder.feed(line)


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_neither_key_nor_password_is_in_a_text_of_the_client(make: Any) -> None:
    key = "v8_k3j2h4g5f6d7_" + "A" * 43
    client = make("https://vibe8.example.org/base/", f"{key}\n")
    assert repr(client) == f"<{make.__name__} of https://vibe8.example.org/base/>"
    assert key not in f"{client!r} {client} {client._sender!r} {client.jobs!r} {client._sender.address!r}"
    assert client._sender.address.headers["Authorization"] == f"Bearer {key}"
    for address, wrong in (("https://ann:s3cret@h/", key), ("https://h/", "s3cret\nX: 1"), ("https://h", "s3crét")):
        with pytest.raises(ValueError, match="must") as raised:
            make(address, wrong)
        assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize("address", ["", "vibe8.example.org", "ftp://h", "http://", "http://h?x=1", "http://h#x", 7])
def test_an_address_that_is_none_is_refused(address: Any) -> None:
    with pytest.raises(ValueError, match="the address of the service must"):
        Client(address)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"max_answer_bytes": 0}])
def test_bounds_must_be_bounds(options: Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Client("http://h", **options)
    with pytest.raises(ValueError, match="attempts"):
        Retry(attempts=0)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is no id"):
        segment(value)


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_an_id_stays_one_segment_of_the_path(value: str) -> None:
    address = ServiceAddress.of("https://h/base", None)
    try:
        url = address.of_call(f"/jobs/{segment(value)}")
    except UnicodeEncodeError:  # half of a surrogate pair
        return
    assert url.raw_path.count(b"/") == 5
    assert not url.query
    assert not url.fragment
    assert httpx.URL(str(url)).path == f"/base/api/v1/jobs/{value}"


PROBLEM = {"code": "invalid_request", "title": "Invalid", "detail": "wrong", "request_id": "r1"}


def answered(status: int, document: object, **headers: str) -> Vibe8Error:
    named = {"Content-Type": "application/problem+json", **headers}
    return error_of(status, httpx.Headers(named), json.dumps(document).encode())


def test_a_problem_is_an_exception_with_all_that_it_says() -> None:
    error = answered(422, {**PROBLEM, "errors": [{"field": "body.name", "message": "too long"}]})
    assert type(error) is InvalidRequestError
    assert (error.status, error.code, error.request_id, error.retry_after) == (422, "invalid_request", "r1", None)
    assert error.errors == (FieldError(field="body.name", message="too long"),)
    assert str(error) == "422 invalid_request: wrong; body.name: too long"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", NotFoundError),
        (429, "limit_exceeded", LimitExceededError),
        (429, "rate_limited", RateLimitedError),
        (429, "of_a_newer_service", RateLimitedError),
        (418, "of_a_newer_service", InvalidRequestError),
        (500, "internal", ServiceError),
        (503, "unavailable", ServiceUnavailableError),
        (599, "of_a_newer_service", ServiceError),
    ],
)
def test_exceptions_have_types_and_codes_of_a_newer_service_too(status: int, code: str, kind: type) -> None:
    error = answered(status, {**PROBLEM, "code": code})
    assert type(error) is kind
    assert isinstance(error, ProblemError)
    assert error.code == code


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/html", b"<h1>Bad Gateway</h1>"),
        ("application/problem+json", b"{"),
        ("application/problem+json", b"[" * 100_000),
        ("application/problem+json", b'["x"]'),
        ("application/problem+json", b'{"code": 7, "errors": ["x", 1], "detail": null}'),
    ],
)
def test_an_error_of_another_program_has_a_code_too(media_type: str, body: bytes) -> None:
    error = error_of(502, httpx.Headers({"Content-Type": media_type, "X-Request-Id": "r9"}), body)
    assert isinstance(error, ServiceUnavailableError)
    assert (error.code, error.title, error.request_id) == ("http_502", "Bad Gateway", "r9")


def test_retry_after_is_in_seconds_or_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after(httpx.Headers({"Retry-After": "7"})) == 7
    assert 58 <= (retry_after(httpx.Headers({"Retry-After": in_a_minute})) or 0) <= 60
    assert retry_after(httpx.Headers({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})) == 0
    for value in ("", "-1", "soon", "9" * 30, "²", "Thu, 01 Jan 1970 00:00:00"):
        assert retry_after(httpx.Headers([(b"Retry-After", value.encode())])) is None


BUSY = answered(503, PROBLEM, **{"Retry-After": "3"})
LIMITED = answered(429, {**PROBLEM, "code": "limit_exceeded"})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BUSY, (3, 3.75)),
        (answered(503, PROBLEM), (0.5, 0.625)),
        (answered(429, PROBLEM, **{"Retry-After": "0"}), (0, 0)),
        (ConnectionFailedError("x"), (0.5, 0.625)),
        (answered(429, PROBLEM, **{"Retry-After": "61"}), None),
        (LIMITED, None),
        (answered(500, PROBLEM), None),
        (answered(422, PROBLEM), None),
        (InvalidAnswerError("x"), None),
    ],
)
def test_what_may_pass_is_tried_again_when_the_service_says(error: Vibe8Error, expected: Any) -> None:
    delay = Attempts(Retry(), repeatable=True).delay_after(error)
    assert (delay is None) is (expected is None)
    assert delay is None or expected[0] <= delay <= expected[1]
    assert Attempts(Retry(), repeatable=False).delay_after(error) is None


def test_attempts_and_waits_are_bounded() -> None:
    attempts = Attempts(Retry(attempts=4), repeatable=True)
    delays = [attempts.delay_after(ConnectionFailedError("x")) for _ in range(4)]
    assert [delay is None for delay in delays] == [False, False, False, True]
    assert sorted(delays[:3]) == delays[:3]  # type: ignore[type-var]
    attempts = Attempts(Retry(attempts=100, max_wait_seconds=10), repeatable=True)
    waited = 0.0
    while (delay := attempts.delay_after(BUSY)) is not None:
        waited += delay
    assert 6 <= waited <= 10
