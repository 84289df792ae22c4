"""Sending notices: signed as standardwebhooks.com has it, to public addresses only, and not held up by anybody.

The other end is a stranger's: its name is resolved once, its addresses are judged, and the connection goes to a judged
one, so that DNS cannot change its mind. Redirects are not followed, and no byte of the answer's body is read.
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
from importlib.metadata import version
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from domain.errors import TransientError
from domain.webhooks import WebhookDelivery, is_allowed_host, notify_url
from infrastructure.outbound.public_addresses import IPAddress, is_public_address

DELIVERY_TIMEOUT_SECONDS = 10.0
"""The whole of a delivery, looking up the name included."""

SECRET_PREFIX = "whsec_"  # nosec B105 # noqa: S105 - what all such secrets begin with


class WebhookDeliveryError(TransientError):
    """The notice did not arrive; the text says why, and holds nothing that the other end has said."""


def derive_user_secret(secret: str, user_id: UUID) -> str:
    """The secret that a user's receiver verifies with, made from the fleet's: nobody can forge another's notices."""
    key = hmac.digest(secret.encode(), b"vibe8 notices to " + user_id.bytes, hashlib.sha256)
    return SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_signature(secret: str, notice_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; `secret` as `derive_user_secret` gives it."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{notice_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class WebhookSender:
    """Delivers notices, one connection each."""

    def __init__(
        self, secrets: Sequence[str], allowed_hosts: Collection[str], *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Sign with all of `secrets`; `allowed_hosts` may be spoken to over http and at private addresses."""
        self._secrets = tuple(secrets)
        self._allowed = frozenset(allowed_hosts)
        self._tls = tls
        self._opened: httpx.AsyncClient | None = None

    async def _client(self) -> httpx.AsyncClient:
        """Made when first needed: reading the system's certificates takes a while, and most workers send nothing."""
        if self._opened is None:
            tls = self._tls
            if tls is None:
                tls = await asyncio.to_thread(ssl.create_default_context)
            self._opened = self._opened or self._new_client(tls)
        return self._opened

    @staticmethod
    def _new_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
        # Kept connections would be found again by address alone, whatever name they were verified for.
        return httpx.AsyncClient(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            timeout=DELIVERY_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"vibe8/{version('vibe8-worker')}", "Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.aclose()

    async def send(self, notice: WebhookDelivery) -> None:
        """Deliver it: any 2xx will do. Raises WebhookDeliveryError."""
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                status = await self._post(notice)
        except TimeoutError:
            raise WebhookDeliveryError(f"no answer within {DELIVERY_TIMEOUT_SECONDS:.0f} s") from None
        except httpx.TimeoutException:
            raise WebhookDeliveryError(f"no answer within {DELIVERY_TIMEOUT_SECONDS:.0f} s") from None
        except httpx.HTTPError as error:
            raise WebhookDeliveryError(_reason(error)) from error
        if 300 <= status < 400:
            raise WebhookDeliveryError(f"answered {status}: redirects are not followed")
        if not 200 <= status < 300:
            raise WebhookDeliveryError(f"answered {status}")

    async def _post(self, notice: WebhookDelivery) -> int:
        url = httpx.URL(notify_url(notice.url, self._allowed))  # what was allowed when it was submitted may not be now
        address = await self._address(notice.url)
        body = json.dumps(notice.message(), separators=(",", ":")).encode()
        client = await self._client()
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={"Host": url.netloc.decode(), "Content-Type": "application/json", **self._signed(notice, body)},
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code

    def _signed(self, notice: WebhookDelivery, body: bytes) -> dict[str, str]:
        if not self._secrets:
            raise WebhookDeliveryError("this worker has no WEBHOOK_SECRETS to sign with")
        notice_id, now = str(notice.delivery_id), int(time.time())
        secrets = [derive_user_secret(secret, notice.user_id) for secret in self._secrets]
        signatures = " ".join(webhook_signature(secret, notice_id, now, body) for secret in secrets)
        return {"webhook-id": notice_id, "webhook-timestamp": str(now), "webhook-signature": signatures}

    async def _address(self, url: str) -> IPAddress:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise WebhookDeliveryError("the host's name cannot be found (DNS)") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not is_allowed_host(url, self._allowed) and not all(is_public_address(address) for address in addresses):
            raise WebhookDeliveryError("the host leads to a private address, which is refused (WEBHOOK_ALLOWED_HOSTS)")
        return addresses[0]


def _reason(error: httpx.HTTPError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its TLS certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "cannot be reached"
    return f"the connection failed ({type(error).__name__})"
