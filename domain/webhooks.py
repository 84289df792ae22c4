"""Webhook deliveries: HTTP requests to a URL, given at submission, when a job has ended."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from domain.errors import InvalidInputError
from domain.findings.severity import SEVERITIES
from domain.text import JSON, one_line

MAX_DELIVERY_ATTEMPTS = 12
"""Failed attempts after which a delivery is given up: about five hours."""


class DeliveryState(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


BACKOFF_BASE_SECONDS = 2.0
BACKOFF_MAX_SECONDS = 3600.0
MAX_URL_LENGTH = 2_000
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A row of the table `notices`. `attempt` counts the attempts that have begun, including a running one."""

    delivery_id: UUID
    job_id: str
    user_id: UUID
    url: str
    host: str
    """The host of the URL, with its port if the URL names one, in lower case."""
    status: str
    error_message: str | None
    run_id: UUID | None
    verdict: str | None = None
    """The gate's verdict on the run; None without a run, and for one of an earlier version."""
    counts: Mapping[str, JSON] | None = None
    """The `counts` of the run's comparison; None without one."""
    fixed: int | None = None
    """How many findings of the baseline are fixed."""
    finished_at: datetime
    attempt: int
    due_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None
    repository_id: UUID | None = None
    """The tracked repository, in a delivery to one who follows it."""

    @property
    def state(self) -> DeliveryState:
        """How far it is."""
        if self.delivered_at is not None:
            return DeliveryState.DELIVERED
        return DeliveryState.WAITING if self.given_up_at is None else DeliveryState.GIVEN_UP

    @property
    def cursor(self) -> "DeliveryCursor":
        """The delivery's place in a list of those in its state."""
        ended_at = self.delivered_at or self.given_up_at
        return DeliveryCursor(at=self.due_at if ended_at is None else ended_at, delivery_id=self.delivery_id)

    def message(self) -> dict[str, JSON]:
        """Return the JSON body of the request. It contains no secret and no code, at most a one-line error."""
        followed = {} if self.repository_id is None else {"repository_id": str(self.repository_id)}
        return {
            "job_id": self.job_id,
            "status": self.status,
            "error": self.error_message,
            "run_id": None if self.run_id is None else str(self.run_id),
            "finished_at": self.finished_at.isoformat(),
            "verdict": self.verdict,
            "findings": self._findings(),
            **followed,
        }

    def _findings(self) -> dict[str, JSON] | None:
        """Return how many findings are new, by severity, and how many are fixed; None without a comparison."""
        if self.counts is None:
            return None
        new = {str(severity): 0 for severity in SEVERITIES}
        for by_severity in self.counts.values():
            for severity, by_state in by_severity.items():
                if severity in new:
                    new[severity] += sum(by_state.get("new", {}).values())
        return {"new": new, "fixed": self.fixed}


OwnedDelivery = tuple[str | None, WebhookDelivery]
"""A delivery and the email of its receiver, None for a user who is being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCursor:
    """The place in a list of deliveries after which the next page starts: when it is due, or has ended."""

    at: datetime
    delivery_id: UUID


def delivery_backoff_seconds(attempt: int, jitter: float) -> float:
    """Return the delay after failed attempt number `attempt`: 2 s, 8 s, 32 s ... at most 1 h, times 0.5 to 1.

    `attempt` counts from 1. `jitter` is a random number from 0 to 1, passed in so that the function stays pure.
    """
    full: float = min(BACKOFF_MAX_SECONDS, BACKOFF_BASE_SECONDS * 4.0 ** (attempt - 1))
    return full * (0.5 + 0.5 * jitter)


def notify_url(url: str, allowed_hosts: Collection[str]) -> str:
    """Return the URL if deliveries may go there: https, or http to a host in `allowed_hosts`.

    The scheme's own port is left out, so that deliveries are counted by host whichever way it is written.
    `allowed_hosts` are `host` or `host:port`, in lower case. Raises InvalidInputError that says what to change.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or any(not "!" <= character <= "~" for character in url):
        raise InvalidInputError(f"the notify URL must be at most {MAX_URL_LENGTH} ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise InvalidInputError("the notify URL cannot be read; use https://host/path") from error
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host):
        raise InvalidInputError("the notify URL must look like https://host/path")
    if "@" in parts.netloc or parts.fragment or "\\" in url:
        raise InvalidInputError("the notify URL must carry no user name, no fragment and no backslash")
    if parts.scheme == "http" and not is_allowed_host(url, allowed_hosts):
        raise InvalidInputError(
            f"the notify URL must start with https:// (the host {one_line(host, 80)!r} is not in WEBHOOK_ALLOWED_HOSTS)"
        )
    return _without_default_port(url, parts)


def _without_default_port(url: str, parts: SplitResult) -> str:
    host, colon, port = parts.netloc.rpartition(":")
    if not colon or "]" in port:
        return url
    default = 443 if parts.scheme == "https" else 80
    netloc = host if parts.port in (None, default) else f"{host}:{parts.port}"
    return url.replace(f"://{parts.netloc}", f"://{netloc}", 1)


def is_allowed_host(url: str, allowed_hosts: Collection[str]) -> bool:
    """Return whether the operator has allowed the URL's host by name, with or without its port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return host in allowed_hosts or f"{host}:{port}" in allowed_hosts
