"""Which addresses are out there, and which are inside, whatever name led to them."""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public_address(address: IPAddress) -> bool:
    """Whether this is an address of the Internet at large, also when it is wrapped in an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse_ip_literal(host: str) -> IPAddress | None:
    """The address that a host is, where it is one and no name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
