"""Servers with an authority of their own, another name in the certificate, and a wish for a client certificate."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme
import uvloop

from monitor.domain.credential import Unreadable
from monitor.domain.errors import ConfigurationError
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.server import Server, Tls
from monitor.ollama import tls as tls_module
from monitor.ollama.client import OllamaClient
from monitor.ollama.failure import FailureError
from monitor.ollama.lister import HttpLister
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from monitor.ollama.tls import Contexts, TlsFiles
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama
from tests.fakes.tls import chain_of, key_of, pem_of, serving, telling
from tests.ollama.conftest import Bench, server_at

HOST = "gpu-1.example"
Run: TypeAlias = Callable[[Coroutine[Any, Any, ProbeResult]], ProbeResult]
# How an alert arrives is a matter of the event loop, and the one of production is uvloop's.
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority that no system knows."""
    return trustme.CA()


@pytest.fixture(scope="module")
def of_clients() -> trustme.CA:
    """Return the authority of the clients' certificates."""
    return trustme.CA()


def opened(contexts: Contexts | None = None) -> OllamaClient:
    """Return a client that finds every name on this machine, and goes by nothing but what production goes by."""
    return OllamaClient(tls=contexts, names=NameResolver(lambda _host: ["127.0.0.1"]))


@pytest.fixture
async def client() -> AsyncIterator[OllamaClient]:
    """Return such a client."""
    async with opened() as made:
        yield made


def secured(fake: FakeOllama | int, tls: Tls) -> Server:
    """Return a server of the registry, at a fake one or a port, with a TLS configuration of its own."""
    port = fake if isinstance(fake, int) else fake.port
    return replace(server_at(f"https://{HOST}:{port}"), tls=tls)


async def probe(client: OllamaClient, server: Server) -> ProbeResult:
    """Probe once."""
    return await HttpProber(client).probe(server)


def with_certificate(authority: trustme.CA, certificate: trustme.LeafCert) -> Tls:
    """Return a configuration with a client certificate."""
    return Tls(ca_pem=pem_of(authority), client_cert=chain_of(certificate), client_key=key_of(certificate))


async def test_the_authority_of_a_server_holds_for_it_alone(authority: trustme.CA, client: OllamaClient) -> None:
    async with FakeOllama(tls=serving(authority.issue_cert(HOST))) as fake:
        own, other = secured(fake, Tls(ca_pem=pem_of(authority))), secured(fake, Tls())
        assert (await probe(client, own)).reason is Reason.OK
        # The connection of the first is open still, and of no use to the second.
        result = await probe(client, other)
        assert result.reason is Reason.TLS
        assert result.detail.startswith("No authority that is trusted here has signed the certificate: ")
        assert (await HttpLister(client).list_models(own)).reason is Reason.OK
        assert (await HttpLister(client).list_models(other)).reason is Reason.TLS
        assert fake.requests == {"/api/version": 1, "/api/tags": 1}


async def test_an_authority_of_a_servers_own_takes_the_place_of_all_others(
    authority: trustme.CA, of_clients: trustme.CA
) -> None:
    everyone = ssl.create_default_context()
    authority.configure_trust(everyone)
    async with FakeOllama(tls=serving(authority.issue_cert(HOST))) as fake, opened(Contexts(plain=everyone)) as client:
        assert (await probe(client, secured(fake, Tls()))).reason is Reason.OK
        assert (await probe(client, secured(fake, Tls(ca_pem=pem_of(of_clients))))).reason is Reason.TLS


async def test_a_certificate_may_vouch_for_itself(client: OllamaClient) -> None:
    certificate = trustme.CA().issue_cert(HOST)
    async with FakeOllama(tls=serving(certificate)) as fake:
        own = certificate.cert_chain_pems[0].bytes().decode()
        assert (await probe(client, secured(fake, Tls(ca_pem=own)))).reason is Reason.OK


@pytest.mark.parametrize("name", ["ollama.internal", "10.9.8.7"])
async def test_the_name_in_the_certificate_may_be_another_one(
    authority: trustme.CA, client: OllamaClient, name: str
) -> None:
    async with FakeOllama(tls=serving(authority.issue_cert(name))) as fake:
        by_host = Tls(ca_pem=pem_of(authority))
        result = await probe(client, secured(fake, by_host))
        assert (result.reason, result.detail.partition(":")[0]) == (Reason.TLS, "The certificate is for another name")
        assert (await probe(client, secured(fake, replace(by_host, server_name=name)))).reason is Reason.OK
        assert (await probe(client, secured(fake, by_host))).reason is Reason.TLS, "the open connection is not for it"
        assert fake.received[0].headers["host"] == f"{HOST}:{fake.port}"


async def test_an_expired_certificate_says_so(authority: trustme.CA, client: OllamaClient) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    expired = authority.issue_cert(HOST, not_before=past - timedelta(days=9), not_after=past)
    async with FakeOllama(tls=serving(expired)) as fake:
        result = await probe(client, secured(fake, Tls(ca_pem=pem_of(authority))))
    assert (result.reason, "has expired" in result.detail) == (Reason.TLS, True)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_wants_a_certificate_gets_it(
    authority: trustme.CA, of_clients: trustme.CA, client: OllamaClient, version: ssl.TLSVersion
) -> None:
    context = serving(authority.issue_cert(HOST), clients=of_clients, version=version)
    async with FakeOllama(tls=context) as fake:
        server = secured(fake, with_certificate(authority, of_clients.issue_cert("monitor.example")))
        for _ in range(2):
            assert (await probe(client, server)).reason is Reason.OK
        assert fake.accepted == 1


@LOOPS
@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_client_certificate_is_told(
    authority: trustme.CA, of_clients: trustme.CA, run: Run, version: ssl.TLSVersion
) -> None:
    context = serving(authority.issue_cert(HOST), clients=of_clients, version=version)
    result = run(turned_away(context, Tls(ca_pem=pem_of(authority))))
    assert result.reason is Reason.TLS
    # OpenSSL has an alert of its own for that with TLS 1.3 only, and there it comes in the place of the answer.
    expected = {
        ssl.TLSVersion.TLSv1_2: "handshake failure; it may want a client certificate, and none is set.",
        ssl.TLSVersion.TLSv1_3: "wants a client certificate, and none is set (TLS alert: certificate required).",
    }
    assert result.detail.endswith(expected[version])


@LOOPS
@pytest.mark.parametrize("lingers", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_that_is_not_taken_is_told(
    authority: trustme.CA, of_clients: trustme.CA, run: Run, version: ssl.TLSVersion, lingers: bool
) -> None:
    context = serving(authority.issue_cert(HOST), clients=of_clients, version=version)
    tls = with_certificate(authority, trustme.CA().issue_cert("monitor.example"))
    result = run(turned_away(context, tls, lingers=lingers))
    assert (result.reason, result.detail) == (
        Reason.TLS,
        "The server refuses the client certificate (TLS alert: unknown ca).",
    )


async def turned_away(context: ssl.SSLContext, tls: Tls, *, lingers: bool = True) -> ProbeResult:
    """Probe a server that takes nobody in."""
    async with telling(context, lingers=lingers) as port, opened() as client:
        return await probe(client, secured(port, tls))


@pytest.mark.parametrize(
    ("words", "shown", "detail"),
    [
        ("No required SSL certificate was sent", False, "wants a client certificate, and none is set"),
        ("The SSL certificate error", True, "refuses the client certificate"),
    ],
)
async def test_what_nginx_answers_about_client_certificates_is_tls(
    authority: trustme.CA, client: OllamaClient, words: str, shown: bool, detail: str
) -> None:
    page = f"<html><head><title>400 {words}</title></head><body>400 Bad Request</body></html>"
    tls = (
        with_certificate(authority, authority.issue_cert("monitor.example")) if shown else Tls(ca_pem=pem_of(authority))
    )
    async with FakeOllama(tls=serving(authority.issue_cert(HOST))) as fake:
        fake.behave(behaviours.status(400, page.encode()))
        result = await probe(client, secured(fake, tls))
    assert (result.reason, detail in result.detail) == (Reason.TLS, True)


@LOOPS
def test_the_end_of_the_certificate_is_known_from_each_good_answer(authority: trustme.CA, run: Run) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    async def ask_twice() -> ProbeResult:
        context = serving(authority.issue_cert(HOST, not_after=ends))
        async with FakeOllama(tls=context) as secure, FakeOllama() as plain, opened() as client:
            server = secured(secure, Tls(ca_pem=pem_of(authority)))
            assert (await probe(client, server)).tls_expires_at == ends
            assert (await probe(client, server_at(plain.url))).tls_expires_at is None
            # On the same connection, without a handshake of its own.
            return await probe(client, server)

    assert run(ask_twice()).tls_expires_at == ends


async def test_the_connection_watch_goes_by_the_same(
    authority: trustme.CA, of_clients: trustme.CA, client: OllamaClient
) -> None:
    bench = Bench(client)
    context = serving(authority.issue_cert("ollama.internal"), clients=of_clients)
    async with FakeOllama(tls=context) as fake:
        right = replace(
            with_certificate(authority, of_clients.issue_cert("monitor.example")), server_name="ollama.internal"
        )
        held = await bench.connections.hold(secured(fake, right), bench.endings.append)
        assert held is not None
        held.close()
        for wrong in (replace(right, ca_pem=None), replace(right, server_name=None)):
            assert await bench.connections.hold(secured(fake, wrong), bench.endings.append) is None


async def test_a_server_whose_client_key_cannot_be_opened_is_asked_nothing(
    client: OllamaClient, fake: FakeOllama
) -> None:
    server = replace(server_at(fake.url), tls=Tls(client_cert="x", client_key=Unreadable(why="No key opens it.")))
    result = await probe(client, server)
    assert (result.reason, result.detail, fake.accepted) == (Reason.CREDENTIAL, "No key opens it.", 0)
    assert not client.refuses(server)


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (Tls(ca_pem="rubbish"), "The authorities in ca_pem cannot be used"),
        (Tls(client_cert="rubbish"), "There is a client certificate without its key"),
    ],
)
async def test_what_was_written_by_hand_and_is_no_pem_is_tls(client: OllamaClient, tls: Tls, why: str) -> None:
    async with FakeOllama() as fake:
        for _ in range(2):
            result = await probe(client, secured(fake, tls))
            assert (result.reason, why in result.detail) == (Reason.TLS, True)
        assert fake.accepted == 0


def test_a_certificate_with_the_key_of_another_is_tls(authority: trustme.CA) -> None:
    one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
    with pytest.raises(FailureError, match="The client certificate cannot be used: key values mismatch"):
        Contexts().of(Tls(client_cert=chain_of(one), client_key=key_of(other)), HOST)


def test_equal_configurations_share_a_context_and_few_are_kept(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "MOST_WEIGHT", 2)
    contexts, pem = Contexts(), pem_of(authority)
    first, same, named = (
        contexts.of(tls, HOST) for tls in (Tls(ca_pem=pem), Tls(ca_pem=f"{pem}"), Tls(ca_pem=pem, server_name="a"))
    )
    assert first.context is same.context is named.context
    assert (first.name, named.name) == (HOST, "a")
    assert contexts.of(Tls(), HOST).context is not first.context
    for _ in range(3):
        contexts.of(Tls(ca_pem=pem_of(trustme.CA())), HOST)
    assert len(contexts._made) == 2
    assert contexts.of(Tls(ca_pem=pem), HOST).context is not first.context


def test_every_context_verifies_and_speaks_tls_1_2_at_least(authority: trustme.CA) -> None:
    certificate = authority.issue_cert("monitor.example")
    for tls in (Tls(), Tls(ca_pem=pem_of(authority)), with_certificate(authority, certificate)):
        context = Contexts().of(tls, HOST).context
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_the_settings_hold_for_servers_without_their_own(
    authority: trustme.CA, of_clients: trustme.CA, tmp_path: Path
) -> None:
    certificate = of_clients.issue_cert("monitor.example")
    files = TlsFiles(
        ca_file=written(tmp_path / "ca.pem", pem_of(authority)),
        client_cert=written(tmp_path / "client.pem", chain_of(certificate)),
        client_key=written(tmp_path / "client.key", key_of(certificate).pem),
        server_name="ollama.internal",
    )
    context = serving(authority.issue_cert("ollama.internal"), clients=of_clients)
    async with FakeOllama(tls=context) as fake, opened(Contexts(files)) as client:
        assert (await probe(client, secured(fake, Tls()))).reason is Reason.OK
        assert (await probe(client, secured(fake, Tls(server_name=HOST)))).reason is Reason.TLS
        assert (await probe(client, secured(fake, Tls(ca_pem=pem_of(of_clients))))).reason is Reason.TLS


async def test_the_files_of_the_settings_are_read_again_when_they_change(
    authority: trustme.CA, of_clients: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "LOOK_SECONDS", 0.0)
    path = written(tmp_path / "ca.pem", pem_of(of_clients))
    async with (
        FakeOllama(tls=serving(authority.issue_cert(HOST))) as fake,
        opened(Contexts(TlsFiles(ca_file=path))) as client,
    ):
        assert (await probe(client, secured(fake, Tls()))).reason is Reason.TLS
        os.replace(written(tmp_path / "new.pem", pem_of(authority)), path)
        assert (await probe(client, secured(fake, Tls()))).reason is Reason.OK
        os.replace(written(tmp_path / "new.pem", "half a fi"), path)
        assert (await probe(client, secured(fake, Tls()))).reason is Reason.OK, "what was read before still holds"


@pytest.mark.parametrize(
    ("ca", "cert", "why"),
    [
        ("rubbish", None, "OLLAMA_FLEET_CA_FILE cannot be used: what is in .*ca.pem must be certificates in PEM"),
        (None, "other", "OLLAMA_FLEET_CLIENT_KEY cannot be used: .* must be the key of the first certificate"),
        ("missing", None, "OLLAMA_FLEET_CA_FILE cannot be used: .*ca.pem: it cannot be read: No such file"),
    ],
)
def test_files_that_cannot_be_used_stop_the_start(
    authority: trustme.CA, tmp_path: Path, ca: str | None, cert: str | None, why: str
) -> None:
    path = tmp_path / "ca.pem"
    if ca == "rubbish":
        written(path, ca)
    one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
    files = TlsFiles(
        ca_file=None if ca is None else path,
        client_cert=None if cert is None else written(tmp_path / "client.pem", chain_of(one)),
        client_key=None if cert is None else written(tmp_path / "client.key", key_of(other).pem),
    )
    with pytest.raises(ConfigurationError, match=why):
        Contexts(files)
