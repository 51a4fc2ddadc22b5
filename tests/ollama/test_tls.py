"""Servers behind TLS: trusted, self-signed, expired, with another name, and hanging in the handshake."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
import uvloop

from monitor.domain.probe import Reason
from monitor.ollama.client import MAX_LIST, OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from monitor.ollama.tls import Contexts
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import server_at

HOST = "gpu-1.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of the test's own."""
    return trustme.CA()


@pytest.fixture
async def trusting(authority: trustme.CA) -> AsyncIterator[OllamaClient]:
    """Return a client that trusts the authority and finds every name on this machine."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with OllamaClient(tls=Contexts(plain=context), names=NameResolver(lambda _host: ["127.0.0.1"])) as client:
        yield client


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return what a server needs to present a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_a_trusted_certificate_is_ok_and_the_connection_is_kept(
    authority: trustme.CA, trusting: OllamaClient
) -> None:
    async with FakeOllama(tls=serving(authority.issue_cert(HOST, "127.0.0.1"))) as fake:
        for url in (f"https://{HOST}:{fake.port}", fake.url):
            for _ in range(2):
                assert (await HttpProber(trusting).probe(server_at(url))).reason is Reason.OK
        assert fake.accepted == 2


async def test_a_certificate_of_an_unknown_authority_is_tls(trusting: OllamaClient) -> None:
    async with FakeOllama(tls=serving(trustme.CA().issue_cert(HOST))) as fake:
        result = await HttpProber(trusting).probe(server_at(f"https://{HOST}:{fake.port}"))
        assert result.reason is Reason.TLS
        assert "certificate" in result.detail
        assert fake.requests == {}


async def test_a_certificate_for_another_name_is_tls(authority: trustme.CA, trusting: OllamaClient) -> None:
    async with FakeOllama(tls=serving(authority.issue_cert("other.example"))) as fake:
        result = await HttpProber(trusting).probe(server_at(f"https://{HOST}:{fake.port}"))
    assert result.reason is Reason.TLS
    assert "Hostname mismatch" in result.detail


async def test_an_expired_certificate_is_tls(authority: trustme.CA, trusting: OllamaClient) -> None:
    expired = authority.issue_cert(
        HOST, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=datetime(2020, 1, 1, tzinfo=UTC)
    )
    async with FakeOllama(tls=serving(expired)) as fake:
        result = await HttpProber(trusting).probe(server_at(f"https://{HOST}:{fake.port}"))
    assert result.reason is Reason.TLS
    assert "expired" in result.detail


async def test_a_handshake_that_hangs_is_tls_at_the_limit(trusting: OllamaClient, fake: FakeOllama) -> None:
    result = await HttpProber(trusting).probe(server_at(f"https://{HOST}:{fake.port}", timeout=0.3))
    assert (result.reason, result.detail) == (Reason.TLS, "The TLS handshake did not end in time.")


async def test_a_server_that_does_not_speak_tls_is_tls(trusting: OllamaClient, fake: FakeOllama) -> None:
    answering = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    fake.greet(answering)
    result = await HttpProber(trusting).probe(server_at(f"https://{HOST}:{fake.port}"))
    assert result.reason is Reason.TLS


async def test_a_hanging_answer_after_the_handshake_is_a_timeout(authority: trustme.CA, trusting: OllamaClient) -> None:
    async with FakeOllama(tls=serving(authority.issue_cert(HOST))) as fake:
        fake.behave(behaviours.hang())
        server = server_at(f"https://{HOST}:{fake.port}", timeout=0.5)
        assert (await HttpProber(trusting).probe(server)).reason is Reason.TIMEOUT


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_list_as_long_as_the_cap_comes_whole_and_one_without_an_end_is_cut(
    authority: trustme.CA, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def ask() -> None:
        async with (
            FakeOllama(tls=serving(authority.issue_cert("127.0.0.1"))) as fake,
            OllamaClient(tls=Contexts(plain=context)) as client,
        ):
            lister, server = HttpLister(client), server_at(fake.url, timeout=30)
            for _ in range(2):
                fake.behave(behaviours.document('{"models": []}'.ljust(MAX_LIST)))
                assert (await lister.list_models(server)).reason is Reason.OK
            fake.behave(behaviours.endless_body())
            assert (await lister.list_models(server)).reason is Reason.TOO_LARGE

    run(ask())
