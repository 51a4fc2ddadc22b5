"""Which addresses the monitor may connect to: a pure rule, asked on saving and again at every socket.

A URL of the registry must not turn the monitor into a way to a cloud's metadata service. Refused, also
when wrapped in IPv6: link-local (169.254.0.0/16, where clouds keep their metadata, and fe80::/10), the
metadata addresses that lie elsewhere, multicast, broadcast and "this host" (0.0.0.0/8 and ::). Private
and loopback addresses are where Ollama servers live, so they are allowed; a list of networks narrows.
"""

import ipaddress
from collections.abc import Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Azure's 168.63.129.16 looks public, but it is the wire server of the virtual machine's own host: no
# Ollama server can have it, so it is refused like the others.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # Amazon
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)
THIS_HOST = ipaddress.IPv4Network("0.0.0.0/8")
BROADCAST = ipaddress.IPv4Address("255.255.255.255")
COMPATIBLE = ipaddress.IPv6Network("::/96")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
LOW_32_BITS = 0xFFFF_FFFF


def check(address: Address, allowed_networks: Sequence[Network]) -> str | None:
    """Return why an address is refused, as the end of a sentence about it, or None when it is allowed.

    With no `allowed_networks` every address passes that is not refused by nature.
    """
    address = _plain(address)
    for candidate in (address, *_embedded(address)):
        nature = _refused_by_nature(candidate)
        if nature is not None:
            return nature
    if allowed_networks and not any(
        address.version == network.version and address in network for network in allowed_networks
    ):
        return "outside the allowed networks"
    return None


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped one stands for; the kernel connects to just that."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield every IPv4 address that a gateway on the way might take this one for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    number = int(address)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in NAT64 or address in NAT64_LOCAL or (address in COMPATIBLE and number > 1):
        yield ipaddress.IPv4Address(number & LOW_32_BITS)
    if address in NAT64_LOCAL:
        # RFC 6052 with a /48 prefix: bits 48-63 and 72-87, around a byte that is always zero.
        yield ipaddress.IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)


def _refused_by_nature(address: Address) -> str | None:
    if address.is_link_local:
        return "a link-local address, where clouds keep their metadata"
    if address in METADATA:
        return "the metadata address of a cloud"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or (address.version == THIS_HOST.version and address in THIS_HOST):
        return "an unspecified address"
    if address == BROADCAST:
        return "a broadcast address"
    return None
