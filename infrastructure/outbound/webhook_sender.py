"""Delivery of webhooks, signed as standardwebhooks.com specifies, to public addresses and within a time limit.

The receiver is not trusted. Its name is resolved once, the addresses are checked, and the connection goes to a checked
address, so that a second DNS answer has no effect. Redirects are not followed. The response body is not read.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from domain.errors import TransientError
from domain.webhooks import WebhookDelivery, is_allowed_host, notify_url
from infrastructure.outbound.public_addresses import IPAddress, is_public_address

DELIVERY_TIMEOUT_SECONDS = 10.0
"""Time limit of a whole delivery, including the DNS look-up."""

MAX_LOOKUPS = 64
"""DNS look-ups at a time, in threads of their own: name servers that do not answer hold up nothing else."""

SECRET_PREFIX = "whsec_"  # nosec B105 # noqa: S105 - the prefix of every webhook secret


class WebhookDeliveryError(TransientError):
    """Failed delivery. The message says why, and contains nothing that the receiver sent."""


class WebhookTimeoutError(WebhookDeliveryError):
    """The receiver did not answer within DELIVERY_TIMEOUT_SECONDS."""


def derive_user_secret(secret: str, user_id: UUID) -> str:
    """Derive the secret with which one user's receivers verify webhooks from one of `WEBHOOK_SECRETS`.

    Each user gets a different secret, so that no user can forge webhooks for another user's receivers.
    """
    key = hmac.digest(secret.encode(), b"vibe8 notices to " + user_id.bytes, hashlib.sha256)
    return SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_signature(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; `secret` is from `derive_user_secret`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class WebhookSender:
    """Sender of webhooks, with one connection per delivery."""

    def __init__(
        self, secrets: Sequence[str], allowed_hosts: Collection[str], *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Sign with each of `secrets`; `allowed_hosts` may also get webhooks over http and at private addresses."""
        self._secrets = tuple(secrets)
        self._allowed_hosts = frozenset(allowed_hosts)
        self._tls = tls
        self._http_client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._resolver = ThreadPoolExecutor(MAX_LOOKUPS, "webhook-dns")

    async def _client(self) -> httpx.AsyncClient:
        """Return the HTTP client. It is made when first needed, because loading the system's certificates is slow."""
        async with self._opening:  # many first deliveries at once load the certificates once
            if self._http_client is None:
                tls = self._tls
                if tls is None:
                    tls = await asyncio.to_thread(ssl.create_default_context)
                self._http_client = self._new_client(tls)
            return self._http_client

    @staticmethod
    def _new_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
        # No keep-alive: httpx would reuse a connection by IP address, for whichever host name it was verified.
        return httpx.AsyncClient(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            timeout=DELIVERY_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"vibe8/{version('vibe8-worker')}", "Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close all connections. A DNS look-up under way ends by its own time limit."""
        self._resolver.shutdown(wait=False, cancel_futures=True)
        if self._http_client is not None:
            await self._http_client.aclose()

    async def send(self, delivery: WebhookDelivery) -> None:
        """Deliver one webhook; any 2xx status is success. Raises WebhookDeliveryError."""
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                status = await self._post(delivery)
        except (TimeoutError, httpx.TimeoutException):
            raise WebhookTimeoutError(f"no answer within {DELIVERY_TIMEOUT_SECONDS:.0f} s") from None
        except httpx.HTTPError as error:
            raise WebhookDeliveryError(_describe(error)) from error
        if 300 <= status < 400:
            raise WebhookDeliveryError(f"answered {status}: redirects are not followed")
        if not 200 <= status < 300:
            raise WebhookDeliveryError(f"answered {status}")

    async def _post(self, delivery: WebhookDelivery) -> int:
        # Validated again: the allowed hosts may have changed since the submission.
        url = httpx.URL(notify_url(delivery.url, self._allowed_hosts))
        address = await self._resolve(delivery.url)
        body = json.dumps(delivery.message(), separators=(",", ":")).encode()
        client = await self._client()
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={
                "Host": url.netloc.decode(),
                "Content-Type": "application/json",
                **self._signature_headers(delivery, body),
            },
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code

    def _signature_headers(self, delivery: WebhookDelivery, body: bytes) -> dict[str, str]:
        if not self._secrets:
            raise WebhookDeliveryError("this worker has no WEBHOOK_SECRETS to sign with")
        delivery_id, now = str(delivery.delivery_id), int(time.time())
        secrets = [derive_user_secret(secret, delivery.user_id) for secret in self._secrets]
        signatures = " ".join(webhook_signature(secret, delivery_id, now, body) for secret in secrets)
        return {"webhook-id": delivery_id, "webhook-timestamp": str(now), "webhook-signature": signatures}

    async def _resolve(self, url: str) -> IPAddress:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            lookup = partial(socket.getaddrinfo, parts.hostname, port, type=socket.SOCK_STREAM)
            entries = await asyncio.get_running_loop().run_in_executor(self._resolver, lookup)
        except (OSError, UnicodeError):
            raise WebhookDeliveryError("the host name cannot be resolved (DNS)") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
        if not is_allowed_host(url, self._allowed_hosts) and not all(
            is_public_address(address) for address in addresses
        ):
            raise WebhookDeliveryError(
                "the host resolves to a private address, which is refused (WEBHOOK_ALLOWED_HOSTS)"
            )
        return addresses[0]


def _describe(error: httpx.HTTPError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its TLS certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "cannot be reached"
    return f"the connection failed ({type(error).__name__})"
