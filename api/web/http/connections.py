"""The connections of clients: so many as descriptors can be spared, so that who only holds them stops nobody.

aiohttp ends a connection that has no whole head of a request for a minute. That is no bound on their number.
"""

import asyncio
import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from aiohttp import web

from api.fleet.refusals import Refused
from api.web import problems

# Of the descriptors. The rest is for the database and, in the one process of `up`, for probes and connection watches.
SHARE = 4
LEAST = 16
BACKLOG = 128
MOST = 16_384
# Told once, and again only after it was over: that is when no more than so many of those that may be are open.
CALM = 0.5

Protocol = asyncio.BaseProtocol

log = structlog.get_logger(__name__)


def most() -> int:
    """Return how many there may be at once under this process's limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if limit == resource.RLIM_INFINITY else max(LEAST, min(limit // SHARE, MOST))


class Connections:
    """Invariant: once there are as many as may be, each new one costs an old one that we wait for, or itself.

    We wait for a connection that has no whole request under way. First goes one that never had an answer, the oldest
    first; then one that was answered and is idle, which a client makes again. Where each has a request that is being
    answered, the new one is refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # Those with a whole head of a request that is not answered yet, and those that ever had an answer. The pipeline
        # keeps both by itself: it is in the way of every request.
        self.at_work: set[Protocol | None] = set()
        self.answered: set[Protocol | None] = set()
        # Those that the server does not know yet, which takes a turn of the event loop.
        self._new: list[Protocol] = []
        self._is_full = False

    @contextmanager
    def waiting(self, connection: Protocol | None) -> Iterator[None]:
        """Wait for more of a request, which is no work."""
        self.at_work.discard(connection)
        yield
        self.at_work.add(connection)

    def accept(self, server: web.Server) -> Protocol:
        """Return what is to serve one more connection, for which there is room then."""
        present = [each for each in server.connections if each.transport is not None]
        self._forget_all_but(present)
        count = len(present) + len(self._new)
        if count <= self.most * CALM:
            self._is_full = False
        if count >= self.most:
            waited_for = [each for each in present if each not in self.at_work]
            oldest = min(waited_for, key=lambda each: each in self.answered, default=None)
            self._say(is_refused=oldest is None)
            if oldest is None:
                return _Refusal()
            oldest.force_close()
        if not self._new:
            asyncio.get_running_loop().call_soon(self._new.clear)
        self._new.append(server())
        return self._new[-1]

    def _forget_all_but(self, present: Sequence[Protocol]) -> None:
        if len(self.answered) > 2 * len(present) + LEAST:
            self.answered.intersection_update(present)

    def _say(self, *, is_refused: bool) -> None:
        if not self._is_full:
            self._is_full = True
            log.warning("clients_limited", most=self.most, refused=is_refused)


class ConnectionSite(web.BaseSite):
    """Listens at an address, and takes as many connections as there may be."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, *, connections: Connections) -> None:
        # What is accepted in one turn of the event loop is no more than waits for it.
        super().__init__(runner, backlog=min(BACKLOG, connections.most))
        self._place = host, port
        self._connections = connections

    @property
    def name(self) -> str:
        """Where it listens, before port 0 has become a port."""
        host, port = self._place
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen; raises OSError where that cannot be done."""
        await super().start()
        server = self._runner.server
        assert server is not None
        host, port = self._place
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._connections.accept(server), host, port, backlog=self._backlog
        )


class _Refusal(asyncio.Protocol):
    """Says that there is no room, and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        refused = Refused("too_many_connections", "The API has as many connections as it may. Try again in a moment.")
        body = json.dumps(problems.document(refused)).encode("ascii")
        status = problems.status(refused)
        headers = {
            **problems.headers(refused),
            "Content-Type": problems.MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("ascii") + body)
        transport.close()


CONNECTIONS = web.AppKey("connections", Connections)
