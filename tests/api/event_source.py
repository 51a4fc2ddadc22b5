"""A small client of Server-Sent Events for the tests, which keeps the last id as a browser does."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.api.client import ApiClient

PATH = "/api/events/stream"
PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One dispatched event."""

    id: str
    name: str
    data: Any


class EventSource:
    """Reads one stream; `last_id` is what a browser would send as `Last-Event-ID`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""
        self.comments = 0
        self.retry = ""
        self._buffer = b""

    async def next(self) -> Message:
        """Return the next message; raises EOFError at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            while (message := self._parse(await self._block())) is None:
                pass
            return message

    async def take(self, count: int) -> list[Message]:
        """Return the next messages."""
        return [await self.next() for _ in range(count)]

    async def seqs(self, through: int) -> list[int]:
        """Return the numbers of the messages until the one with this number has come."""
        found = [int((await self.next()).id)]
        while found[-1] < through:
            found.append(int((await self.next()).id))
        return found

    async def quiet_block(self) -> None:
        """Read on past one block that dispatches nothing."""
        async with asyncio.timeout(PATIENCE):
            assert self._parse(await self._block()) is None

    async def end(self) -> None:
        """Read until the stream ends, which it must do without another message."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    assert self._parse(await self._block()) is None
            except EOFError:
                pass

    async def _block(self) -> bytes:
        while b"\n\n" not in self._buffer:
            data = await self.response.content.readany()
            if not data:
                raise EOFError
            self._buffer += data
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block

    def _parse(self, block: bytes) -> Message | None:
        name, data = "message", ""
        for line in block.decode().splitlines():
            field, _, value = line.partition(": ")
            match field:
                case "id":
                    self.last_id = value
                case "event":
                    name = value
                case "data":
                    data += value
                case "retry":
                    self.retry = value
                case _:
                    assert line.startswith(":"), line
                    self.comments += 1
        return Message(id=self.last_id, name=name, data=json.loads(data)) if data else None


@asynccontextmanager
async def narrow(api: ApiClient) -> AsyncIterator[ApiClient]:
    """A client of the same API as the given one, as many connections as it likes, with hardly a buffer in any."""

    def make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        connection = socket.socket(*address[:3])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        return connection

    connector = aiohttp.TCPConnector(limit=0, socket_factory=make_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield ApiClient(session, api.base_url)


@asynccontextmanager
async def listening(api: ApiClient, query: str = "", *, last_id: str | None = None) -> AsyncIterator[EventSource]:
    """Open a stream that must begin; its first block has come when the block is entered."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    path = f"{api.base_url}{PATH}?{query}"
    patience = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE)
    async with api.session.get(path, headers=headers, timeout=patience) as response:
        assert response.status == 200, await response.text()
        source = EventSource(response)
        await source.quiet_block()
        yield source
