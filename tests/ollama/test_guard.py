"""The address rule, as tables."""

import ipaddress

import pytest

from monitor.ollama import guard

EVERYTHING: tuple[guard.Network, ...] = ()


def teredo(server: str, client: str) -> str:
    """Return the Teredo address of a client behind a Teredo server."""
    number = 0x20010000 << 96 | int(ipaddress.IPv4Address(server)) << 64
    return str(ipaddress.IPv6Address(number | (int(ipaddress.IPv4Address(client)) ^ 0xFFFFFFFF)))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.20",
        "100.64.0.1",
        "8.8.8.8",
        "::1",
        "fd12:3456::1",
        "2001:db8::1",
        "::ffff:192.168.1.20",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:0808:8:0800::",
        "::ffff:0:192.168.1.20",
        "2001:db8::5efe:192.168.1.20",
        "fd00:ec3::23",
        "2002:0808:0808::1",
        teredo("65.54.227.120", "192.0.2.45"),
    ],
)
def test_addresses_where_servers_may_live_are_allowed(address: str) -> None:
    assert guard.check(ipaddress.ip_address(address), EVERYTHING) is None


@pytest.mark.parametrize(
    ("address", "nature"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata address of Amazon's"),
        ("169.254.170.23", "link-local"),
        ("fd00:ec2::23", "metadata"),
        ("fd00:a9fe:a9fe::1", "metadata address of Akamai's"),
        ("fd00:c1::a9fe:a9fe", "metadata"),
        ("fd00:100::100:200", "metadata"),
        ("fd00:42::42", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "broadcast"),
    ],
)
def test_addresses_that_are_no_server_are_refused_with_their_nature(address: str, nature: str) -> None:
    assert nature in (guard.check(ipaddress.ip_address(address), EVERYTHING) or "")


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1::a9:fea9:fe00:0",
        "64:ff9b:1::",
        "::ffff:0:169.254.169.254",
        "::ffff:0:100.100.100.200",
        "2001:db8::5efe:169.254.169.254",
        "2001:db8::200:5efe:169.254.169.254",
        "fd12:3456::100:5efe:169.254.170.23",
        teredo("169.254.169.254", "192.0.2.45"),
        teredo("65.54.227.120", "169.254.169.254"),
        "::ffff:0.0.0.0",
        "::ffff:255.255.255.255",
        "::ffff:100.100.100.200",
        "fe80::1%eth0",
    ],
)
def test_a_refused_address_is_refused_in_every_wrapping(address: str) -> None:
    assert guard.check(ipaddress.ip_address(address), EVERYTHING) is not None


def test_each_metadata_address_is_listed_once_with_its_source() -> None:
    networks = [network for network, _, _ in guard.METADATA]
    assert len(networks) == len(set(networks))
    assert all(source.startswith("https://") for _, _, source in guard.METADATA)


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("127.0.0.1", False),
        ("fd00:1::5", True),
        ("fd00:2::5", False),
        ("64:ff9b::10.1.2.3", False),
    ],
)
def test_allowed_networks_narrow(address: str, passes: bool) -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00:1::/32"))
    why = guard.check(ipaddress.ip_address(address), networks)
    assert why == (None if passes else "outside the allowed networks")


def test_allowed_networks_do_not_open_what_is_refused_by_nature() -> None:
    networks = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("169.254.0.0/16"))
    assert guard.check(ipaddress.ip_address("169.254.169.254"), networks) is not None
