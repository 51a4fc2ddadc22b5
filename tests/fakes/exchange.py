"""The server side of an HTTP connection with full control of every byte, cheap enough for thousands."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

END_OF_HEAD = b"\r\n\r\n"
PHRASES = {int(status): status.phrase for status in HTTPStatus}
LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Owner(Protocol):
    """The server that a connection belongs to."""

    connections: set["Connection"]
    sent_bytes: int
    greeting: bytes

    def handle(self, connection: "Connection", request: Request) -> None:
        """Answer the request, now or later."""
        ...


Behaviour = Callable[["Connection", Request], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client's connection; behaviours write to it what they like."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._buffer = b""
        self._writable: asyncio.Event | None = None
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.received_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection at its server."""
        self.transport = cast(asyncio.Transport, transport)
        self._owner.connections.add(self)
        if self._owner.greeting:
            self.write(self._owner.greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake a behaviour that waits to write; it will notice."""
        self.lost = True
        self._owner.connections.discard(self)
        if self._writable is not None:
            self._writable.set()

    def pause_writing(self) -> None:
        """Make `drain` wait."""
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        if self._writable is not None:
            self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Hand every complete request to the server."""
        self.received_bytes += len(data)
        self._buffer += data
        while END_OF_HEAD in self._buffer:
            head, _, rest = self._buffer.partition(END_OF_HEAD)
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            fields = (line.partition(":") for line in lines[1:])
            headers = {name.lower(): value.strip() for name, _, value in fields}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            request = Request(method=method, path=path, headers=headers, body=rest[:length])
            self._owner.handle(self, request)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.transport is not None and not self.lost:
            self._owner.sent_bytes += len(data)
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of it; raises `ConnectionError` when it is gone."""
        await asyncio.sleep(0)
        if self._writable is not None:
            await self._writable.wait()
        if self.lost:
            raise ConnectionResetError("the client is gone")

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a complete answer."""
        self.write(head_of(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    def close(self) -> None:
        """End the connection as a process that ends does."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        if self.transport is not None and not self.lost:
            connection: socket.socket = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            self.transport.abort()


def head_of(status: int, headers: dict[str, str]) -> bytes:
    """Return the status line and the headers of an answer."""
    lines = [
        f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + END_OF_HEAD
