"""One idle connection to a server behind TLS: proved like a probe's, then bare, and never written to."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import trustme

from monitor.domain.watching import Ending
from monitor.ollama import watch
from monitor.ollama.client import OllamaClient
from monitor.ollama.names import NameResolver
from monitor.ollama.tls import Contexts
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import Bench, eventually

HOST = "gpu-1.example"
LINGER_ZERO = struct.pack("ii", 1, 0)
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


class SecureServer:
    """Shakes hands by itself, so that every byte on the wire is in the test's hands; `received` after that."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.received: list[bytes] = []
        self.writer: asyncio.StreamWriter | None = None
        self._context = context
        self._outgoing = ssl.MemoryBIO()
        self._session: ssl.SSLObject | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection, and wait for what comes in once it is secure."""
        incoming = ssl.MemoryBIO()
        session = self._context.wrap_bio(incoming, self._outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(self._outgoing.read())
                incoming.write(await reader.read(65_536))
                continue
            break
        self._session, self.writer = session, writer
        self._flush()
        try:
            self.received.append(await reader.read())
        except ConnectionError:
            self.received.append(b"")
        writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Send something that nobody asked for."""
        assert self._session is not None
        self._session.write(data)
        self._flush()

    def die(self) -> None:
        """End without a word, as a process that is killed does."""
        assert self.writer is not None
        self.writer.close()

    def say_farewell(self) -> None:
        """End with the alert that TLS has for this."""
        assert self._session is not None
        with pytest.raises(ssl.SSLWantReadError):
            self._session.unwrap()
        self._flush()
        self.die()

    def reset(self) -> None:
        """End with a RST."""
        assert self.writer is not None
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.writer.transport.abort()

    def _flush(self) -> None:
        assert self.writer is not None
        self.writer.write(self._outgoing.read())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Bench]:
    """Idle connections that trust the authority, and find every name on this machine."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with OllamaClient(tls=Contexts(plain=context), names=NameResolver(lambda _host: ["127.0.0.1"])) as client:
        yield Bench(client)


def presenting(certificate: trustme.LeafCert, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return what a server needs to present a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[tuple[SecureServer, str]]:
    """Lend a server and its URL."""
    server = SecureServer(context)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield server, f"https://{HOST}:{listening.sockets[0].getsockname()[1]}"


@VERSIONS
@pytest.mark.parametrize("end", [SecureServer.die, SecureServer.say_farewell, SecureServer.reset])
async def test_every_end_is_told_once(
    authority: trustme.CA, secure: Bench, version: ssl.TLSVersion, end: Callable[[SecureServer], None]
) -> None:
    async with serving(presenting(authority.issue_cert(HOST), version)) as (server, url):
        connection = await secure.held(url)
        await eventually(lambda: server.writer is not None)
        end(server)
        await eventually(lambda: secure.endings == [Ending.CLOSED])
        assert not connection.is_open


@VERSIONS
async def test_nothing_is_sent_once_the_server_has_proved_itself(
    authority: trustme.CA, secure: Bench, version: ssl.TLSVersion
) -> None:
    async with serving(presenting(authority.issue_cert(HOST), version)) as (server, url):
        connection = await secure.held(url)
        await eventually(lambda: server.writer is not None)
        connection.close()
        await eventually(lambda: server.received == [b""])
        assert secure.endings == []


async def test_a_little_that_nobody_asked_for_is_thrown_away_and_much_of_it_is_not_tolerated(
    authority: trustme.CA, secure: Bench
) -> None:
    async with serving(presenting(authority.issue_cert(HOST))) as (server, url):
        connection = await secure.held(url)
        await eventually(lambda: server.writer is not None)
        before = connection._tolerated
        server.say(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        # The tickets that a server sends after its handshake are thrown away, too.
        await eventually(lambda: connection._tolerated < before)
        assert connection.is_open
        server.say(b"a" * watch.MOST_CIPHERTEXT)
        await eventually(lambda: secure.endings == [Ending.SPOKE])
        assert not connection.is_open
        await eventually(lambda: len(server.received) == 1)


async def test_what_is_held_keeps_nothing_of_tls(authority: trustme.CA, secure: Bench) -> None:
    async with FakeOllama(tls=presenting(authority.issue_cert(HOST))) as fake:
        connection = await secure.held(f"https://{HOST}:{fake.port}")
        assert connection._transport is not None
        assert connection._transport.get_extra_info("ssl_object") is None
        assert connection._transport.get_extra_info("sslcontext") is None
        connection.close()
        await eventually(lambda: not fake.connections)


@pytest.mark.parametrize("wrong", ["authority", "name", "expired"])
async def test_a_server_that_is_not_trusted_is_not_watched(authority: trustme.CA, secure: Bench, wrong: str) -> None:
    certificates = {
        "authority": trustme.CA().issue_cert(HOST),
        "name": authority.issue_cert("other.example"),
        "expired": authority.issue_cert(
            HOST, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=datetime(2020, 1, 1, tzinfo=UTC)
        ),
    }
    async with FakeOllama(tls=presenting(certificates[wrong])) as fake:
        assert await secure.hold(f"https://{HOST}:{fake.port}") is None
        await eventually(lambda: not fake.connections)
    assert secure.endings == []


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_server_that_ends_or_spoils_the_handshake_is_not_watched(
    secure: Bench, fake: FakeOllama, greeting: bytes
) -> None:
    fake.greet(greeting)
    holding = asyncio.create_task(secure.hold(f"https://{HOST}:{fake.port}"))
    await eventually(lambda: fake.accepted == 1)
    fake.close_idle()
    assert await holding is None
    await eventually(lambda: not fake.connections)
