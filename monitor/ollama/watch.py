"""One idle TCP connection to a server, whose end tells at once that the server may be gone.

Ollama closes no idle connection, so nothing is ever sent here, and no timer runs: the kernel's keep-alive
tells of a host that vanished. That costs one packet without data to a server every 3 s, and its acknowledgement;
Ollama itself sees nothing of it. Behind TLS, too, it is a bare TCP connection that is held, once the server has
proved itself: its end shows as well without what TLS would keep for it.
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
from monitor.ollama.dialer import Dialer
from monitor.ollama.failure import FailureError
from monitor.ollama.tls import Contexts

# First probe after 3 s of silence, then every second; dead after four without an answer: 7 s. Fewer would be lost
# by chance too often, and an answer that takes 3 s still comes in time.
KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("TCP_KEEPIDLE", 3),
    ("TCP_KEEPINTVL", 1),
    ("TCP_KEEPCNT", 4),
    # Linux goes by this and not by the count where it is set.
    ("TCP_USER_TIMEOUT", 7_000),
)
OTHER_DESCRIPTORS = 100
# Session tickets and a farewell are a few hundred bytes each; a server that goes on is speaking.
MOST_CIPHERTEXT = 16 * 1024


class IdleConnection(asyncio.Protocol):
    """Implements `ports.Hold`: tells once how it ended, unless it was closed by us."""

    __slots__ = ("_ended", "_tolerated", "_transport")

    def __init__(self, ended: Callable[[Ending], None], *, tolerated: int) -> None:
        """`tolerated` bytes may come in and are thrown away."""
        self._ended: Callable[[Ending], None] | None = ended
        self._tolerated = tolerated
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
        self._tolerated -= len(data)
        if self._tolerated < 0:
            self._finish(Ending.SPOKE)

    def eof_received(self) -> None:
        """End a connection that the server has ended."""
        self._finish(Ending.CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of a reset, or of a host that vanished: then the error is a time-out, or that there is no way."""
        vanished = isinstance(exc, OSError) and not isinstance(exc, ConnectionError)
        self._finish(Ending.SILENT if vanished else Ending.CLOSED)

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
            transport.abort()


class IdleConnections:
    """Implements `ports.Holder`."""

    def __init__(self, dialer: Dialer, contexts: Contexts) -> None:
        self._dialer = dialer
        self._contexts = contexts

    async def hold(self, server: Server, ended: Callable[[Ending], None], /) -> IdleConnection | None:
        """Connect within the server's time-out; None when that cannot be done, which is no verdict."""
        try:
            target = URL(base_url.normalize(server.url), encoded=True)
            host, secure = target.raw_host or "", target.scheme == "https"
            async with asyncio.timeout(server.policy.timeout.total_seconds()):
                return await self._dialer.dial_idle(
                    host,
                    target.port or 0,
                    security=self._contexts.of(server.tls, host) if secure else None,
                    factory=lambda: IdleConnection(ended, tolerated=MOST_CIPHERTEXT if secure else 0),
                )
        except (FailureError, InvalidUrlError, ValueError, OSError):
            # TimeoutError is an OSError.
            return None


def most_connections() -> int:
    """Return how many may be held, so that each of their servers has a file descriptor for its checks too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, limit - OTHER_DESCRIPTORS) // 2
