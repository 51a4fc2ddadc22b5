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

# Where clouds answer with credentials outside of the link-local ranges: network, whose it is, where that is documented.
# Azure's looks public, but it is the wire server of the virtual machine's own host. All of Amazon's /32 are services of
# the instance itself: metadata (::254), EKS Pod Identity (::23, whose 169.254.170.23 is link-local), resolver, time.
METADATA = tuple(
    (ipaddress.ip_network(network), owner, source)
    for network, owner, source in (
        ("100.100.100.200/32", "Alibaba", "https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata"),
        ("fd00:100::100:200/128", "Alibaba", "https://github.com/canonical/cloud-init/pull/6893"),
        (
            "168.63.129.16/32",
            "Azure",
            "https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16",
        ),
        ("192.0.0.192/32", "Oracle", "https://docs.oracle.com/en/cloud/iaas-classic/compute-iaas-cloud/stcsg/"),
        (
            "fd00:c1::a9fe:a9fe/128",
            "Oracle",
            "https://github.com/oracle/oci-python-sdk/tree/master/src/oci/auth/signers",
        ),
        ("fd00:ec2::/32", "Amazon", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"),
        ("fd20:ce::254/128", "Google", "https://cloud.google.com/compute/docs/metadata/querying-metadata"),
        ("fd00:42::42/128", "Scaleway", "https://docs.cloud-init.io/en/latest/reference/datasources/scaleway.html"),
        ("fd00:a9fe:a9fe::1/128", "Akamai", "https://docs.cloud-init.io/en/latest/reference/datasources/akamai.html"),
    )
)
THIS_HOST = ipaddress.IPv4Network("0.0.0.0/8")
BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# IPv6 with an IPv4 address in its last 32 bits: IPv4-compatible (RFC 4291), SIIT (RFC 2765), NAT64 (RFC 6052).
COMPATIBLE = ipaddress.IPv6Network("::/96")
TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 8215: each operator chooses how long the prefix is, so an address can be read in four ways.
NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
# RFC 5214, in each network: the interface is 00-00-5E-FE and the address, with two bits of the first byte free.
ISATAP, ISATAP_BITS = 0x0000_5EFE, 0xFCFF_FFFF
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
    if address in NAT64 or address in TRANSLATED or (address in COMPATIBLE and number > 1):
        yield ipaddress.IPv4Address(number & LOW_32_BITS)
    if number >> 32 & ISATAP_BITS == ISATAP:
        yield ipaddress.IPv4Address(number & LOW_32_BITS)
    if address in NAT64_LOCAL:
        yield from _translated_locally(number)


def _translated_locally(number: int) -> list[ipaddress.IPv4Address]:
    """Return how an address of `NAT64_LOCAL` reads with a prefix of 96, 64, 56 and 48 bits (RFC 6052, 2.2)."""
    readings = (
        number & LOW_32_BITS,
        number >> 24 & LOW_32_BITS,
        (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFF_FFFF,
        (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,
    )
    found = [ipaddress.IPv4Address(reading) for reading in readings]
    # Read with the wrong length most addresses begin with zeros, which says nothing against them.
    return [each for each in found if each not in THIS_HOST] or found


def _refused_by_nature(address: Address) -> str | None:
    if address.is_link_local:
        return "a link-local address, where clouds keep their metadata"
    for network, owner, _ in METADATA:
        if address.version == network.version and address in network:
            return f"a metadata address of {owner}'s cloud"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or (address.version == THIS_HOST.version and address in THIS_HOST):
        return "an unspecified address"
    if address == BROADCAST:
        return "a broadcast address"
    return None
