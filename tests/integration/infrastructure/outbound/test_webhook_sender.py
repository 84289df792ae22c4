"""Content and signature of webhook deliveries, and the addresses to which nothing is sent."""

import dataclasses
import ipaddress
import socket
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from domain.errors import InvalidInputError
from domain.webhooks import MAX_DELIVERY_ATTEMPTS, WebhookDelivery, delivery_backoff_seconds, notify_url
from examples.webhook import verify
from infrastructure.outbound import webhook_sender
from infrastructure.outbound.webhook_sender import WebhookDeliveryError, WebhookSender, derive_user_secret
from tests.fixtures.network.webhook_server import WebhookReceiver, http_response, webhook_receiver

SECRETS = ("a" * 32, "b" * 32)
ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


def new_delivery(url: str, **changes: Any) -> WebhookDelivery:
    delivery = WebhookDelivery(
        delivery_id=uuid.uuid4(),
        job_id="job",
        user_id=ANN,
        url=url,
        host=urlsplit(url).netloc,
        status="completed",
        error_message=None,
        run_id=uuid.UUID(int=3),
        finished_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        attempt=1,
        due_at=datetime.now(UTC),
        delivered_at=None,
        given_up_at=None,
        last_error=None,
    )
    return dataclasses.replace(delivery, **changes)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def sender(receiver: WebhookReceiver) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(SECRETS, [receiver.host])
    yield sender
    await sender.aclose()


async def test_delivery_contains_the_job_and_is_signed_with_every_secret(
    sender: WebhookSender, receiver: WebhookReceiver
) -> None:
    sent = new_delivery(receiver.url)
    await sender.send(sent)
    (received,) = receiver.received
    assert receiver.request_lines == ["POST /hook?x=1 HTTP/1.1"]
    assert received.document == {
        "job_id": "job",
        "status": "completed",
        "error": None,
        "run_id": str(uuid.UUID(int=3)),
        "finished_at": "2026-01-02T03:04:05+00:00",
        "verdict": None,
        "findings": None,
    }
    assert received.headers["host"] == receiver.host
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == str(sent.delivery_id)
    for secret in SECRETS:
        assert verify(derive_user_secret(secret, ANN), received.headers, received.body)
        assert not verify(derive_user_secret(secret, BOB), received.headers, received.body)
        assert not verify(derive_user_secret(secret, ANN), received.headers, received.body + b" ")
    assert not verify(derive_user_secret("c" * 32, ANN), received.headers, received.body)
    old = {**received.headers, "webhook-timestamp": str(int(time.time()) - 600)}
    assert not verify(derive_user_secret(SECRETS[0], ANN), old, received.body)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http_response(500, body=b"text that must not be repeated"), "answered 500"),
        (http_response(404), "answered 404"),
        (http_response(302, "Location: http://127.0.0.1:1/\r\n"), "answered 302: redirects are not followed"),
        (b"nonsense\r\n\r\n", "the connection failed (RemoteProtocolError)"),
        (b"", "the connection failed (RemoteProtocolError)"),
        (b"HTTP/1.1 200 X\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", "the connection failed (RemoteProtocolError)"),
    ],
    ids=["500", "404", "302", "nonsense", "nothing", "endless headers"],
)
async def test_any_answer_but_2xx_is_a_failed_delivery(
    sender: WebhookSender, receiver: WebhookReceiver, answer: bytes, message: str
) -> None:
    receiver.answers = [answer]
    with pytest.raises(WebhookDeliveryError) as caught:
        await sender.send(new_delivery(receiver.url))
    assert str(caught.value) == message
    assert len(receiver.received) == 1


async def test_response_body_is_not_read(sender: WebhookSender, receiver: WebhookReceiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\nx"]
    begun = time.monotonic()
    await sender.send(new_delivery(receiver.url))
    assert time.monotonic() - begun < webhook_sender.DELIVERY_TIMEOUT_SECONDS
    assert len(receiver.received) == 1


async def test_silent_receiver_is_a_failed_delivery(
    sender: WebhookSender, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "DELIVERY_TIMEOUT_SECONDS", 0.3)
    receiver.answers = [None]
    with pytest.raises(WebhookDeliveryError, match="no answer within"):
        await sender.send(new_delivery(receiver.url))


async def test_closed_port_is_a_failed_delivery() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        sender = WebhookSender(SECRETS, ["127.0.0.1"])
        with pytest.raises(WebhookDeliveryError, match="cannot be reached"):
            await sender.send(new_delivery(url))
        await sender.aclose()


async def test_nothing_is_sent_without_secrets(receiver: WebhookReceiver) -> None:
    sender = WebhookSender((), [receiver.host])
    with pytest.raises(WebhookDeliveryError, match="WEBHOOK_SECRETS"):
        await sender.send(new_delivery(receiver.url))
    await sender.aclose()
    assert receiver.received == []


class FakeDns:
    """Replacement of DNS that gives the answers in turn, the last one repeatedly, and records the queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> None:
        self.queries: list[str] = []
        real = socket.getaddrinfo

        def getaddrinfo(host: str, port: int, *arguments: Any, **more: Any) -> Any:
            if _is_address(host):
                return real(host, port, *arguments, **more)
            self.queries.append(host)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def _is_address(host: str | bytes) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["140.82.121.4", "192.168.0.1"],
        ["::ffff:10.0.0.1"],
        ["0.0.0.0"],  # noqa: S104
    ],
    ids=str,
)
async def test_name_with_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    FakeDns(monkeypatch, [addresses])
    tried: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: tried.append(arguments))
    sender = WebhookSender(SECRETS, ())
    with pytest.raises(WebhookDeliveryError, match="private address"):
        await sender.send(new_delivery("https://hook.example.org/"))
    await sender.aclose()
    assert tried == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1", "169.254.169.254"])
async def test_private_address_is_refused_in_any_notation(host: str) -> None:
    sender = WebhookSender(SECRETS, ())
    with pytest.raises(WebhookDeliveryError, match=r"private address|cannot be resolved"):
        await sender.send(new_delivery(f"https://{host}/"))
    await sender.aclose()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_connection_goes_to_the_checked_address_and_the_name_is_verified(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA
) -> None:
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hook.test").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    dns = FakeDns(monkeypatch, [["127.0.0.1"], ["10.0.0.1"]])  # DNS answers differently the second time
    async with webhook_receiver(server_tls) as receiver:
        sender = WebhookSender(SECRETS, ["hook.test", "other.test"], tls=client_tls)
        await sender.send(new_delivery(f"https://hook.test:{receiver.port}/"))
        assert dns.queries == ["hook.test"]
        assert receiver.received[0].headers["host"] == f"hook.test:{receiver.port}"
        FakeDns(monkeypatch, [["127.0.0.1"]])
        with pytest.raises(WebhookDeliveryError, match="TLS certificate is not trusted"):
            await sender.send(new_delivery(f"https://other.test:{receiver.port}/"))
        await sender.aclose()
        without_authority = WebhookSender(SECRETS, ["hook.test"])
        with pytest.raises(WebhookDeliveryError, match="TLS certificate is not trusted"):
            await without_authority.send(new_delivery(f"https://hook.test:{receiver.port}/"))
        await without_authority.aclose()
        assert len(receiver.received) == 1


async def test_url_is_validated_again_at_delivery(receiver: WebhookReceiver) -> None:
    sender = WebhookSender(SECRETS, ())
    with pytest.raises(InvalidInputError, match="https://"):
        await sender.send(new_delivery(receiver.url))
    await sender.aclose()
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org", "https://example.org:8443/a?b=c", "https://[2001:db8::1]/x", "http://internal/hook",
        "HTTPS://Example.org/", "http://internal:8080/", "http://with-port:81/",
    ],
)  # fmt: skip
def test_valid_notify_url_is_accepted(url: str) -> None:
    assert notify_url(url, {"internal", "with-port:81"}) == url


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://example.org:443/a:443", "https://example.org/a:443"), ("https://s:", "https://s"),
        ("https://example.org:08443/", "https://example.org:8443/"), ("https://example.org:80/", "https://example.org:80/"),
        ("http://internal:80?x", "http://internal?x"), ("http://internal:443/", "http://internal:443/"),
        ("https://[2001:db8::1]:443/", "https://[2001:db8::1]/"), ("https://[2001:db8::443]/", "https://[2001:db8::443]/"),
    ],
)  # fmt: skip
def test_port_of_the_scheme_is_left_out(url: str, same: str) -> None:
    """Deliveries are limited by host, so one host must not have several names."""
    assert notify_url(url, {"internal"}) == same


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/", "must start with https://"), ("http://with-port/", "must start with https://"),
        ("ftp://example.org", "https://host/path"), ("file:///etc/passwd", "https://host/path"), ("", "https://host"),
        ("https:///x", "https://host/path"), ("https://a b/", "without spaces"), ("https://ä/", "ASCII"),
        ("https://user:pass@example.org/", "no user name"), ("https://example.org/#x", "no fragment"),
        ("https://example.org\\@internal/", "https://host|no user name"), ("https://x/" + "a" * 2000, "2000"),
        ("https://example.org:99999/", "cannot be read"), ("https://[::1/", "cannot be read"),
        ("https://example.org/\r\nX: y", "without spaces"), ("gopher://example.org", "https://host/path"),
    ],
)  # fmt: skip
def test_invalid_notify_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        notify_url(url, {"with-port:81"})


def test_delivery_attempts_are_spread_over_hours() -> None:
    assert [delivery_backoff_seconds(attempt, 1.0) for attempt in (1, 2, 3, 7)] == [2, 8, 32, 3600]
    assert delivery_backoff_seconds(2, 0.0) == 4
    assert (
        4 * 3600 < sum(delivery_backoff_seconds(attempt, 1.0) for attempt in range(1, MAX_DELIVERY_ATTEMPTS)) < 8 * 3600
    )
