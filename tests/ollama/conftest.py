"""What the tests of the Ollama side share: a client, and servers with a short patience."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from monitor.domain.server import Policy, Server, ServerId
from monitor.domain.watching import Ending
from monitor.ollama.client import OllamaClient
from monitor.ollama.watch import IdleConnection, IdleConnections
from tests.fakes.ollama import FakeOllama


def server_at(url: str, *, timeout: float = 5.0) -> Server:
    """Return a server of the registry at a URL."""
    policy = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=timeout), rise=2, fall=3)
    return Server(id=ServerId(uuid.uuid4()), name="gpu-1", url=url, api_version="v1", row_version=1, policy=policy)


async def eventually(condition: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Wait until something is true; fails after some seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # conditions are of many kinds, few have an event
            await asyncio.sleep(0.005)


class Bench:
    """Idle connections, and a note of how they ended."""

    def __init__(self, client: OllamaClient) -> None:
        self.connections = IdleConnections(client.dialer, client.contexts)
        self.endings: list[Ending] = []

    async def hold(self, url: str, *, patience: float = 5.0) -> IdleConnection | None:
        """Try to hold a connection to a URL."""
        return await self.connections.hold(server_at(url, timeout=patience), self.endings.append)

    async def held(self, url: str) -> IdleConnection:
        """Hold a connection to a URL."""
        connection = await self.hold(url)
        assert connection is not None
        assert connection.is_open
        return connection


@contextmanager
def filled(listener: socket.socket) -> Iterator[None]:
    """Hold connections to a listener that accepts none, until the kernel takes no more."""
    held = [socket.socket() for _ in range(4)]
    for connection in held:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.connect(listener.getsockname())
    yield
    for connection in held:
        connection.close()


@pytest.fixture
async def client() -> AsyncIterator[OllamaClient]:
    """Return a client with everything as in production."""
    async with OllamaClient() as opened:
        yield opened


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    """Return a server that answers well until it is told otherwise."""
    async with FakeOllama() as started:
        yield started
