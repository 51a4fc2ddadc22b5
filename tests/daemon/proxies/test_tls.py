"""The proxy speaks TLS with a certificate of an authority of ours, and may want one of us; or it sends us there."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.daemon.proxies import running
from tests.daemon.proxies.conftest import Behind, Watching
from tests.daemon.proxies.running import Setup
from tests.daemon.proxies.scene import FALL, RARELY
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.long

BOTH = pytest.mark.parametrize("program", ["nginx", "haproxy"])
NAME = "gpu.internal.example"


class Certificates:
    """What an authority of ours gives to the proxy and to the monitor, as files and as text."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        self.authority = authority.cert_pem.bytes().decode()
        self._file, self._authority = folder / "proxy.pem", folder / "authority.pem"
        self._issuer = authority
        authority.cert_pem.write_to_path(str(self._authority))

    def tls(self, program: str, name: str, *, wants_ours: bool = False) -> str:
        """Return what is said of the port of a proxy that has a certificate for a name or an address."""
        self._issuer.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(self._file))
        if program == "nginx":
            ours = f"ssl_client_certificate {self._authority}; ssl_verify_client on;"
            return f"ssl_certificate {self._file}; ssl_certificate_key {self._file}; {ours if wants_ours else ''}"
        ours = f"ca-file {self._authority} verify required"
        return f"crt {self._file} {ours if wants_ours else ''}"

    def ours(self) -> dict[str, str]:
        """Return a certificate for the monitor with its key, as the API takes them."""
        issued = self._issuer.issue_cert("monitor.example")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems).decode()
        return {"client_cert": chain, "client_key": issued.private_key_pem.bytes().decode()}


@pytest.fixture
def certificates(authority: trustme.CA, tmp_path: Path) -> Certificates:
    """Certificates of an authority that nothing trusts by itself."""
    return Certificates(authority, tmp_path)


@BOTH
async def test_an_authority_of_ours_is_trusted_by_way_of_the_environment(
    program: str,
    certificates: Certificates,
    behind: Behind,
    watching: Watching,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    at = running.address()
    setup = Setup(tls=certificates.tls(program, at[0]))
    async with FakeOllama() as fake, behind(program, fake.url, setup, at=at) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until_known(fake)
        assert {asked.status for asked in proxy.asked} == {200}
        assert await scene.told() == ["created", "up"]


@BOTH
async def test_an_authority_of_ours_is_none_of_the_systems_until_the_server_has_it(
    program: str, certificates: Certificates, behind: Behind, watching: Watching
) -> None:
    at = running.address()
    setup = Setup(tls=certificates.tls(program, at[0]))
    async with FakeOllama() as fake, behind(program, fake.url, setup, at=at) as proxy, watching() as scene:
        await scene.add(proxy.url)
        await scene.until("down", "tls")
        shown = await scene.shown()
        assert "certificate" in shown["status_detail"]
        assert proxy.asked == []
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        await scene.edit(ca_pem=certificates.authority)
        await scene.until("up")
        assert (await scene.shown())["tls_expires_at"] is not None
        assert await scene.told() == ["created", "down", "up"]


@BOTH
async def test_a_certificate_for_another_name_is_taken_by_that_name(
    program: str, certificates: Certificates, behind: Behind, watching: Watching
) -> None:
    setup = Setup(tls=certificates.tls(program, NAME))
    async with FakeOllama() as fake, behind(program, fake.url, setup) as proxy, watching() as scene:
        await scene.add(proxy.url, ca_pem=certificates.authority)
        await scene.until("down", "tls")
        assert proxy.asked == []
        await scene.edit(tls_server_name=NAME)
        await scene.until("up")
        assert await scene.told() == ["created", "down", "up"]


@BOTH
async def test_a_proxy_that_wants_a_certificate_says_so_and_takes_the_one_of_the_server(
    program: str, certificates: Certificates, behind: Behind, watching: Watching
) -> None:
    at = running.address()
    setup = Setup(tls=certificates.tls(program, at[0], wants_ours=True))
    async with FakeOllama() as fake, behind(program, fake.url, setup, at=at) as proxy, watching() as scene:
        await scene.add(proxy.url, ca_pem=certificates.authority)
        await scene.until("down", "tls")
        shown = await scene.shown()
        assert "client certificate" in shown["status_detail"]
        assert "--client-cert" in shown["advice"]
        assert len(await scene.bad_answers(proxy)) <= FALL
        assert not fake.received
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        ours = certificates.ours()
        await scene.edit(**ours)
        await scene.until("up")
        assert ours["client_key"] not in str(await scene.shown())
        assert await scene.told() == ["created", "down", "up"]


def redirecting(program: str, there: str) -> Setup:
    """Return what sends every request to the same path at another address."""
    if program == "nginx":
        return Setup(settings=f"return 301 {there}$request_uri;")
    return Setup(settings=f"    http-request redirect prefix {there} code 301")


@BOTH
async def test_a_redirect_to_https_is_not_followed_and_the_advice_names_the_address(
    program: str, behind: Behind, watching: Watching
) -> None:
    there = "https://{}:{}".format(*running.address())
    async with (
        FakeOllama() as fake,
        behind(program, fake.url, redirecting(program, there)) as proxy,
        watching() as scene,
    ):
        await scene.add(proxy.url)
        await scene.until("down", "not_ollama")
        await check_that_it_is_sent_to(there, await scene.shown())
        bad = await scene.bad_answers(proxy)
        assert [(asked.status, asked.path) for asked in bad] == [(301, "/api/version")] * FALL
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        assert await scene.told() == ["created", "down"]


async def test_plain_http_on_a_port_of_nginx_for_https_is_told_the_address_with_https(
    certificates: Certificates, behind: Behind, watching: Watching
) -> None:
    at = running.address()
    setup = Setup(tls=certificates.tls("nginx", at[0]))
    async with FakeOllama() as fake, behind("nginx", fake.url, setup, at=at) as proxy, watching() as scene:
        await scene.add(proxy.url.replace("https:", "http:"))
        await scene.until("down", "not_ollama")
        await check_that_it_is_sent_to(proxy.url, await scene.shown())
        bad = await scene.bad_answers(proxy)
        assert [asked.status for asked in bad] == [400] * FALL
        assert await scene.pause() >= 0.8 * RARELY.total_seconds()
        assert await scene.told() == ["created", "down"]


async def test_plain_http_on_a_port_of_haproxy_for_https_is_a_reset_whose_advice_speaks_of_tls(
    certificates: Certificates, behind: Behind, watching: Watching
) -> None:
    at = running.address()
    setup = Setup(tls=certificates.tls("haproxy", at[0]))
    async with FakeOllama() as fake, behind("haproxy", fake.url, setup, at=at) as proxy, watching() as scene:
        await scene.add(proxy.url.replace("https:", "http:"))
        await scene.until("down", "reset")
        assert "speaks TLS" in (await scene.shown())["advice"]
        assert proxy.asked == []
        assert await scene.told() == ["created", "down"]


async def check_that_it_is_sent_to(there: str, shown: dict[str, Any]) -> None:
    """Fail unless the advice has the address to write in the URL, as it is to be typed."""
    assert f"--url {there}" in shown["advice"], shown
