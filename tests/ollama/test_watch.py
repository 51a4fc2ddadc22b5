"""One idle connection to a real server: every way it can end, and that nothing is ever sent on it."""

import asyncio
import errno
import resource
import socket
from ipaddress import IPv4Network

import pytest

from monitor.domain.watching import Ending
from monitor.ollama import watch
from monitor.ollama.client import OllamaClient
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import Bench, eventually, filled


@pytest.fixture
async def bench(client: OllamaClient) -> Bench:
    """Idle connections as in production."""
    return Bench(client)


@pytest.mark.parametrize("how", ["close", "reset", "abort"])
async def test_the_end_of_the_connection_is_told_once(bench: Bench, fake: FakeOllama, how: str) -> None:
    connection = await bench.held(fake.url)
    await eventually(lambda: len(fake.connections) == 1)
    (served,) = fake.connections
    if how == "abort":
        assert served.transport is not None
        served.transport.abort()
    else:
        getattr(served, how)()
    await eventually(lambda: bench.endings == [Ending.CLOSED])
    assert not connection.is_open
    connection.close()
    await eventually(lambda: not fake.connections)
    assert bench.endings == [Ending.CLOSED]


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (TimeoutError(errno.ETIMEDOUT, "timed out"), Ending.SILENT),
        (OSError(errno.EHOSTUNREACH, "no route"), Ending.SILENT),
        (OSError(errno.ENETUNREACH, "no network"), Ending.SILENT),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Ending.CLOSED),
        (BrokenPipeError(errno.EPIPE, "broken"), Ending.CLOSED),
        (None, Ending.CLOSED),
    ],
)
def test_a_host_that_fell_silent_is_told_apart_from_one_that_closed(error: OSError | None, ending: Ending) -> None:
    endings: list[Ending] = []
    watch.IdleConnection(endings.append, tolerated=0).connection_lost(error)
    assert endings == [ending]


async def test_a_server_that_speaks_without_being_asked_is_let_go(bench: Bench, fake: FakeOllama) -> None:
    connection = await bench.held(fake.url)
    await eventually(lambda: len(fake.connections) == 1)
    next(iter(fake.connections)).write(b"HTTP/1.1 408 Request Timeout\r\n\r\n" * 1000)
    await eventually(lambda: bench.endings == [Ending.SPOKE])
    assert not connection.is_open
    await eventually(lambda: not fake.connections)
    assert bench.endings == [Ending.SPOKE]


async def test_whoever_lets_go_is_not_told(bench: Bench, fake: FakeOllama) -> None:
    connection = await bench.held(fake.url)
    await eventually(lambda: len(fake.connections) == 1)
    connection.close()
    connection.close()
    await eventually(lambda: not fake.connections)
    assert bench.endings == []
    assert not connection.is_open


async def test_nothing_is_ever_sent(bench: Bench) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await bench.held(f"http://127.0.0.1:{port}/with/a/path")
        connection.close()
        await eventually(lambda: received == [b""])


async def test_the_kernel_looks_after_the_connection(bench: Bench, fake: FakeOllama) -> None:
    connection = await bench.held(fake.url)
    assert connection._transport is not None
    held: socket.socket = connection._transport.get_extra_info("socket")
    assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    for name, value in watch.KEEPALIVE:
        if hasattr(socket, name):
            assert held.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
    connection.close()


async def test_a_connection_that_cannot_be_had_is_no_error(bench: Bench, fake: FakeOllama) -> None:
    await fake.stop()
    for url in (
        fake.url,
        "http://169.254.169.254",
        "http://[::1",
        f"https://127.0.0.1:{fake.port}",
    ):
        assert await bench.hold(url) is None
    assert bench.endings == []


async def test_an_attempt_that_hangs_ends_with_the_servers_time_out(bench: Bench, fake: FakeOllama) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, filled(listener):
        port = listener.getsockname()[1]
        assert await bench.hold(f"http://127.0.0.1:{port}", patience=0.2) is None
    assert await bench.hold(f"https://127.0.0.1:{fake.port}", patience=0.2) is None
    await eventually(lambda: not fake.connections)


async def test_an_address_outside_the_allowed_networks_is_not_watched(fake: FakeOllama) -> None:
    async with OllamaClient(allowed_networks=[IPv4Network("10.0.0.0/8")]) as client:
        assert await Bench(client).hold(fake.url) is None
    assert fake.accepted == 0


def test_half_of_the_descriptors_are_left_for_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((1024, 462), (65_536, 32_718), (50, 0)):
        monkeypatch.setattr(resource, "getrlimit", lambda _which, limit=limit: (limit, limit))
        assert watch.most_connections() == most
