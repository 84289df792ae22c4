"""What the HTTP service is told by its settings, parsed once."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from domain.audit import parse_address
from infrastructure.settings import Settings

MB = 1024 * 1024
FORM_BYTES = 64 * 1024
"""What the fields of a form may have beside its file."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Limits and trust of one service. Hosts and headers are in lower case; `*` in `allowed_hosts` is any name."""

    allowed_hosts: frozenset[str] = frozenset(LOCAL_NAMES)
    trusted_proxies: Sequence[Network] = ()
    trusted_user_header: str | None = None
    operators: frozenset[str] = frozenset()
    """Emails of the users who may call `/ops` when the trusted header names them."""
    cors_origins: Sequence[str] = ()
    max_upload_bytes: int = 5 * MB
    max_json_bytes: int = 1 * MB
    max_streams: int = 1_000
    max_streams_per_user: int = 10
    body_seconds: float = 30.0
    """The longest pause in a body, and the time for each MB of it."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the options that the settings ask for."""
        return cls(
            allowed_hosts=frozenset((*LOCAL_NAMES, *settings.http_allowed_hosts)),
            trusted_proxies=[ipaddress.ip_network(each) for each in settings.http_trusted_proxies],
            trusted_user_header=settings.http_trusted_user_header,
            operators=frozenset(settings.http_operators),
            cors_origins=settings.http_cors_origins,
            max_upload_bytes=settings.plans.upload_bytes,
            max_streams=settings.http_max_streams,
        )

    def trusts(self, peer: str | None) -> bool:
        """Return whether the peer of a connection is one of the trusted proxies."""
        if not self.trusted_proxies:
            return False
        address = parse_address(peer)
        if address is None:
            return False
        parsed = ipaddress.ip_address(address)
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self.trusted_proxies)
