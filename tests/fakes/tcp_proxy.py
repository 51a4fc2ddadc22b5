"""A TCP proxy for tests that can freeze, cut, delay, drip and refuse; for HTTP and for PostgreSQL."""

import asyncio
import socket
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

LINGER_ZERO = struct.pack("ii", 1, 0)
PIECE = 65_536

Target = tuple[str, int] | Path


class TcpProxy:
    """Forwards to a host and port, or to a unix socket; use it as an asynchronous context manager.

    `delay` holds every piece back for some seconds; `drip_interval` sends one byte at a time.
    """

    def __init__(self, target: Target, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.delay = 0.0
        self.drip_interval: float | None = None
        self.accepted = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL, for an HTTP target."""
        return f"http://{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Listen; after `refuse` again on the same port."""
        self._server = await asyncio.start_server(self._begin, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections; the open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(0)

    def freeze(self) -> None:
        """Forward nothing any more, in either direction, and keep the connections open."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Forward again, also what came in meanwhile."""
        self._thawed.set()

    def cut(self) -> None:
        """End every connection on both sides with a RST."""
        for writer in list(self._writers):
            connection: socket.socket = writer.get_extra_info("socket")
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            writer.transport.abort()

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._thawed.wait()
            there_reader, there_writer = await self._connect()
        except OSError:
            self._end(writer)
            return
        except asyncio.CancelledError:
            self._end(writer)
            raise
        self._writers.add(there_writer)
        directions = [
            asyncio.create_task(self._pump(reader, there_writer)),
            asyncio.create_task(self._pump(there_reader, writer)),
        ]
        try:
            await asyncio.wait(directions)
        finally:
            for direction in directions:
                direction.cancel()
            self._end(writer)
            self._end(there_writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                await self._thawed.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._send(data, sink)
            await self._thawed.wait()
            if sink.can_write_eof() and not sink.transport.is_closing():
                sink.write_eof()

    async def _send(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if self.drip_interval is None:
            sink.write(data)
            await sink.drain()
            return
        for byte in data:
            sink.write(bytes([byte]))
            await sink.drain()
            await asyncio.sleep(self.drip_interval)
            await self._thawed.wait()
