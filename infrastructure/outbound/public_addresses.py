"""Classification of IP addresses as public or private."""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_RESERVED = tuple(map(ipaddress.IPv6Network, ("3fff::/20", "5f00::/16", "64:ff9b:1::/48")))
"""Documentation, segment routing and local NAT64 (RFC 9637, 9602, 8215): some supported Pythons call them global."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public_address(address: IPAddress) -> bool:
    """Whether the address belongs to the public Internet; an IPv4 address inside an IPv6 one is unwrapped first."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(inner)
        if address.is_site_local or any(address in network for network in _RESERVED):  # fec0::/10 is still in use
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse_ip_literal(host: str) -> IPAddress | None:
    """Parse a host that is written as an IP address; None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
