"""The fakes themselves, where other tests lean on them: processes, fleets and the proxy."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes import behaviours
from tests.fakes.fleet import FakeFleet, address
from tests.fakes.ollama import FakeOllama
from tests.fakes.tcp_proxy import TcpProxy

LIMIT = 10
QUESTION = b"GET /api/version HTTP/1.1\r\nHost: gpu-1\r\n\r\n"


async def ask(host: str, port: int, question: bytes = QUESTION) -> bytes:
    """Ask once on a new connection; returns the first bytes of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        return await reader.read(65_536)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a fake as a process; yields it with its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        word, port = (await asyncio.wait_for(process.stdout.readline(), LIMIT)).split()
        assert word == b"ready"
        yield process, int(port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
async def test_a_fake_runs_as_a_process_and_its_end_is_seen_on_its_connections(
    ending: signal.Signals,
) -> None:
    async with running("tests.fakes.ollama", "--port", "0", "--version", "0.9.6") as (process, port):
        assert b'{"version": "0.9.6"}' in await ask("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(QUESTION)
        assert b"200 OK" in await reader.read(65_536)
        process.send_signal(ending)
        assert await asyncio.wait_for(reader.read(), LIMIT) == b""
        writer.close()
        code = await asyncio.wait_for(process.wait(), LIMIT)
        assert code == (0 if ending is signal.SIGTERM else -signal.SIGKILL)
        with pytest.raises(ConnectionRefusedError):
            await ask("127.0.0.1", port)


async def test_a_fleet_has_one_port_and_an_address_for_each_server() -> None:
    async with FakeFleet(600) as fleet:
        assert len(set(fleet.urls)) == 600
        assert b"200 OK" in await ask(address(599), fleet.port)
        fleet[3].add_model("new:1b")
        assert "new:1b" not in fleet[4].models


async def test_a_server_of_a_fleet_that_died_refuses_until_it_is_revived() -> None:
    async with FakeFleet(3) as fleet:
        reader, writer = await asyncio.open_connection(address(1), fleet.port)
        await fleet.die(1)
        assert await asyncio.wait_for(reader.read(), LIMIT) == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(address(1), fleet.port)
        assert b"200 OK" in await ask(address(2), fleet.port)
        await fleet.revive(1)
        assert b"200 OK" in await ask(address(1), fleet.port)


async def test_a_fleet_runs_as_a_process_and_obeys() -> None:
    async with running("tests.fakes.fleet", "--count", "2") as (process, port):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"die 1\n")
        assert await asyncio.wait_for(process.stdout.readline(), LIMIT) == b"done\n"
        with pytest.raises(ConnectionRefusedError):
            await ask(address(1), port)
        process.stdin.write(b"revive 1\n")
        assert await asyncio.wait_for(process.stdout.readline(), LIMIT) == b"done\n"
        assert b"200 OK" in await ask(address(1), port)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT) == 0


async def test_the_requests_at_once_are_counted() -> None:
    async with FakeOllama() as fake:
        fake.behave(behaviours.slow(0.1, behaviours.status(200)))
        await asyncio.gather(*(ask("127.0.0.1", fake.port) for _ in range(3)))
        assert fake.most_at_once == 3
        assert fake.requests["/api/version"] == 3


async def test_the_openai_list_of_an_empty_server_is_null() -> None:
    async with FakeOllama(recorded="0.33.0-rc2-empty") as fake:
        answer = await ask("127.0.0.1", fake.port, b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert b'"data": null' in answer


async def test_the_proxy_passes_freezes_thaws_and_cuts() -> None:
    async with FakeOllama() as fake, TcpProxy(("127.0.0.1", fake.port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(QUESTION)
        assert b"200 OK" in await reader.read(65_536)
        proxy.freeze()
        writer.write(QUESTION)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(65_536), 0.1)
        proxy.thaw()
        assert b"200 OK" in await asyncio.wait_for(reader.read(65_536), LIMIT)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), LIMIT)
        writer.close()
        assert proxy.accepted == 1


async def test_the_proxy_refuses_new_connections_and_keeps_the_open_ones() -> None:
    async with FakeOllama() as fake, TcpProxy(("127.0.0.1", fake.port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(QUESTION)
        await reader.read(65_536)
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await ask("127.0.0.1", proxy.port)
        writer.write(QUESTION)
        assert b"200 OK" in await asyncio.wait_for(reader.read(65_536), LIMIT)
        writer.close()
        await proxy.accept()
        assert b"200 OK" in await ask("127.0.0.1", proxy.port)


async def test_the_proxy_passes_the_end_of_the_target_on() -> None:
    async with FakeOllama() as fake, TcpProxy(("127.0.0.1", fake.port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(QUESTION)
        await reader.read(65_536)
        fake.close_idle()
        assert await asyncio.wait_for(reader.read(), LIMIT) == b""
        writer.close()


async def test_the_proxy_drips_and_delays() -> None:
    async with FakeOllama() as fake, TcpProxy(("127.0.0.1", fake.port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.delay = 0.01
        writer.write(QUESTION)
        assert b"200 OK" in await asyncio.wait_for(reader.read(65_536), LIMIT)
        proxy.drip_interval = 0.01
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert len(await asyncio.wait_for(reader.read(65_536), LIMIT)) < 20
        writer.close()


async def test_the_proxy_reaches_unix_sockets(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    path = tmp_path / "server"
    server = await asyncio.start_unix_server(greet, path)
    async with server, TcpProxy(path) as proxy:
        assert await ask("127.0.0.1", proxy.port, b"hello") == b"hello"


async def test_a_fake_that_stopped_frees_its_port() -> None:
    async with FakeOllama(host="127.3.2.1") as fake:
        await fake.stop()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((fake.host, fake.port))
