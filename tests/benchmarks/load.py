"""Asks one HTTP server as fast as it answers, over kept connections, with hardly any work of its own."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"Content-Length: "


@dataclass(slots=True)
class Tally:
    """What came of it: seconds of each answer, bytes of bodies, and answers other than 200."""

    latencies: list[float] = field(default_factory=list)
    body_bytes: int = 0
    failures: int = 0


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request; until the deadline."""

    def __init__(self, requests: Sequence[bytes], *, first: int, deadline: float, tally: Tally) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._next = first
        self._deadline = deadline
        self._tally = tally
        self._buffer = b""
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(END_OF_HEAD)
        if head < 0:
            return
        start = self._buffer.index(LENGTH) + len(LENGTH)
        length = int(self._buffer[start : self._buffer.index(b"\r", start)])
        if len(self._buffer) < head + len(END_OF_HEAD) + length:
            return
        now = time.perf_counter()
        self._tally.latencies.append(now - self._asked_at)
        self._tally.body_bytes += length
        self._tally.failures += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        if now < self._deadline:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


async def run(
    port: int, paths: Sequence[str], *, connections: int, seconds: float, headers: Mapping[str, str] | None = None
) -> Tally:
    """Ask for the paths in turn for some seconds."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"127.0.0.1:{port}", **(headers or {})}.items())
    requests = [f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() for path in paths]
    tally = Tally()
    deadline = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    clients = [_Client(requests, first=number, deadline=deadline, tally=tally) for number in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]  # bound now
    await asyncio.gather(*(client.done for client in clients))
    return tally
