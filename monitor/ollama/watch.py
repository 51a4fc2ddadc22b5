"""One idle TCP connection to a server, whose end tells at once that the server may be gone.

Ollama closes no idle connection, so nothing is ever sent here, and no timer runs: the kernel's keep-alive
tells of a host that vanished.
"""

import asyncio
import resource
import socket
from collections.abc import Callable
from typing import cast

from yarl import URL

from monitor.domain import url as base_url
from monitor.domain.errors import InvalidUrlError
from monitor.domain.server import Server
from monitor.domain.watching import Ending
from monitor.ollama.dialer import Dialer, Stage
from monitor.ollama.failure import FailureError

# First probe after 10 s of silence, then every 5 s; dead after three without an answer: 25 s.
KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000))
OTHER_DESCRIPTORS = 100


class IdleConnection(asyncio.Protocol):
    """Implements `ports.Hold`: tells once how it ended, unless it was closed by us."""

    __slots__ = ("_ended", "_transport")

    def __init__(self, ended: Callable[[Ending], None]) -> None:
        self._ended: Callable[[Ending], None] | None = ended
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection is held."""
        return self._ended is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport, and have the kernel look after the connection."""
        self._transport = cast(asyncio.Transport, transport)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            # Not every platform has all of them.
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """End a connection on which the server speaks without being asked."""
        self._finish(Ending.SPOKE)

    def eof_received(self) -> None:
        """End a connection that the server has ended."""
        self._finish(Ending.CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of a reset, or of a host that vanished."""
        self._finish(Ending.CLOSED)

    def close(self) -> None:
        """Let go; nobody is told."""
        self._ended = None
        self._let_go()

    def _finish(self, ending: Ending) -> None:
        ended, self._ended = self._ended, None
        self._let_go()
        if ended is not None:
            ended(ending)

    def _let_go(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            # Not `close`: over TLS that would send a farewell and wait for one.
            transport.abort()


class IdleConnections:
    """Implements `ports.Holder`."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def hold(self, server: Server, ended: Callable[[Ending], None], /) -> IdleConnection | None:
        """Connect within the server's time-out; None when that cannot be done, which is no verdict."""
        try:
            target = URL(base_url.normalize(server.url), encoded=True)
            async with asyncio.timeout(server.policy.timeout.total_seconds()):
                return await self._dialer.dial(
                    target.raw_host or "",
                    target.port or 0,
                    secure=target.scheme == "https",
                    factory=lambda: IdleConnection(ended),
                    reached=_unheard,
                )
        except (FailureError, InvalidUrlError, ValueError, OSError):
            # TimeoutError is an OSError.
            return None


def most_connections() -> int:
    """Return how many may be held, so that each of their servers has a file descriptor for its checks too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, limit - OTHER_DESCRIPTORS) // 2


def _unheard(_stage: Stage) -> None:
    pass
