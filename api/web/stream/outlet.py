"""The connection of one stream's client: how much may wait for it in memory, and for how long."""

import asyncio
import socket
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from api.web.http import responses
from api.web.stream import frames
from api.web.stream.frames import Shared

# Beyond this a client is behind; a page of catching up may come on top.
MOST_WAITING_BYTES = 256 * 1024
DRAIN_ABOVE_BYTES = 64 * 1024
# The kernel would grow its own buffer to megabytes for each client that does not read.
KERNEL_BUFFER_BYTES = 128 * 1024
STALL_SECONDS = 30.0
HEADERS = {
    **responses.HEADERS,
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class StalledError(ConnectionError):
    """The client took nothing for too long and was dropped."""


class Outlet:
    """Bytes out to one client. After the first ones they bypass aiohttp's writer, which only a coroutine can use."""

    def __init__(
        self, writer: AbstractStreamWriter, transport: asyncio.Transport, *, is_chunked: bool, is_packed: bool
    ) -> None:
        self._writer = writer
        self._transport = transport
        self._is_chunked = is_chunked
        self._is_packed = is_packed
        transport.set_write_buffer_limits(high=DRAIN_ABOVE_BYTES)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        # A host that vanished without a word is noticed by a heartbeat that nobody acknowledges.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2 * STALL_SECONDS * 1000))

    @classmethod
    async def begin(cls, request: web.Request, first: bytes, *, is_packed: bool) -> tuple["Outlet", web.StreamResponse]:
        """Answer with the head of a stream and its first bytes; raises OSError when the client is gone.

        `is_packed` makes it a gzip stream, which only pays when much of it is `Shared`.
        """
        response = web.StreamResponse(status=HTTPStatus.OK, headers=HEADERS)
        if is_packed:
            response.headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
            first = frames.GZIP_HEAD + frames.stored(first)
        # HTTP/1.0, which some proxies speak to us, has no chunks: there the end of the connection is the end.
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        transport = request.transport
        writer = await response.prepare(request)
        if transport is None or writer is None:
            raise ConnectionResetError("The client is gone.")
        await writer.write(first)
        return cls(writer, transport, is_chunked=response.chunked, is_packed=is_packed), response

    def push(self, data: bytes) -> bool:
        """Write without waiting; False, and nothing is written, when too much waits already."""
        waiting = self._transport.get_write_buffer_size()
        if self._transport.is_closing() or (waiting and waiting + len(data) > MOST_WAITING_BYTES):
            return False
        self._write(frames.stored(data) if self._is_packed else data)
        return True

    async def send(self, data: bytes) -> None:
        """Write, and wait until the client has taken nearly all; raises ConnectionError when it does not."""
        await self._send(frames.stored(data) if self._is_packed else data)

    async def send_shared(self, shared: Shared) -> None:
        """Write as `send` does, compressed if the client takes it so."""
        await self._send(shared.packed if self._is_packed else shared.plain)

    async def _send(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("The client is gone.")
        if data:
            self._write(data)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._writer.drain()
        except TimeoutError as error:
            self._transport.abort()
            raise StalledError(f"The client has taken nothing for {STALL_SECONDS:g} s.") from error

    def finish(self) -> None:
        """Cut the connection if something still waits: the end of a stream is not waited for."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
