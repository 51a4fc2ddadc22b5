"""The connections for probes: pooled by aiohttp, but made by our dialer, and with a cap on what comes in.

aiohttp's own connector would hide which step failed or hung, and would ask its resolver hook about names
only, never about literal addresses.
"""

import asyncio
import functools
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta

from aiohttp import BaseConnector, ClientPayloadError, ClientRequest, ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.tracing import Trace

from monitor.domain.probe import Lost, Reason
from monitor.ollama.dialer import Dialer, Stage
from monitor.ollama.failure import Failure, FailureError
from monitor.ollama.tls import Security

KEEPALIVE_SECONDS = 300.0
MAX_HEAD = 64 * 1024
PIECE = 64 * 1024
MOST_PLACES = 65_536
# Chunked coding adds 8 bytes to each chunk of 2 KiB that Go sends, which is a quarter of this share.
CHUNKED_SHARE = 64
TOO_MUCH = "The server sends more than any answer needs."

# How long the body of the answer to the running task's request may be.
max_body: ContextVar[int] = ContextVar("max_body", default=0)
# What the TLS of a new connection for it goes by. That a pooled one goes by the same is seen to by aiohttp's key.
security: ContextVar[Security | None] = ContextVar("security", default=None)


class CountingHandler(ResponseHandler):
    """Ends a connection that brings too many bytes for one answer, whatever they are.

    The body has a cap of its own; this one holds for what never becomes body: endless heads, floods of
    interim answers, chunk extensions and trailers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._most = 0
        self._received = 0

    @property
    def wanted(self) -> int:
        """How many bytes may still come, and one more by which it shows that there are more."""
        return max(1, self._most - self._received + 1)

    def set_response_params(self, **parameters: object) -> None:
        """Begin to count anew for the next answer."""
        body = max_body.get()
        self._most = MAX_HEAD + body + body // CHUNKED_SHARE
        self._received = 0
        self._payload = None
        super().set_response_params(**parameters)  # type: ignore[arg-type]  # passed on unread

    def data_received(self, data: bytes) -> None:
        """Count before parsing; what comes in at once may be the head and much of the body."""
        in_head = self._payload is None or self._payload is EMPTY_PAYLOAD
        over = in_head and self._received > MAX_HEAD
        self._received += len(data)
        if over or self._received > self._most:
            self._give_up()
        else:
            super().data_received(data)

    def _give_up(self) -> None:
        error = ClientPayloadError(TOO_MUCH)
        error.__cause__ = FailureError(Reason.TOO_LARGE, TOO_MUCH)
        if self._payload is not None:
            self._payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class Intake(asyncio.BufferedProtocol):
    """Takes no more from a connection's socket than its handler wants, where a plain protocol is given what there is.

    `buffer` is shared by all connections: what is in it is taken out before anyone else reads.
    """

    __slots__ = ("_buffer", "_count", "_used_at", "handler")

    def __init__(
        self, buffer: memoryview, loop: asyncio.AbstractEventLoop, count: Callable[[int, float], None]
    ) -> None:
        """`count` is called with 1 when the connection begins and with -1 when it is over.

        It also is told when the connection last brought something, in monotonic seconds.
        """
        self._buffer = buffer
        self._count: Callable[[int, float], None] | None = count
        self._used_at = time.monotonic()
        self.handler = CountingHandler(loop)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the room for the next read."""
        return self._buffer[: self.handler.wanted]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was read."""
        self._used_at = time.monotonic()
        self.handler.data_received(bytes(self._buffer[:nbytes]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand on, and count."""
        if self._count is not None:
            self._count(1, self._used_at)
        self.handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on, and count."""
        self._end()
        self.handler.connection_lost(exc)

    def eof_received(self) -> None:
        """Hand on, and count; the transport then closes itself."""
        self._end()
        self.handler.eof_received()

    def _end(self) -> None:
        count, self._count = self._count, None
        if count is not None:
            count(-1, self._used_at)

    def pause_writing(self) -> None:
        """Hand on."""
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self.handler.resume_writing()


class GuardedConnector(BaseConnector):
    """Makes and pools connections, only to addresses that the guard allows."""

    allowed_protocol_schema_set = frozenset({"http", "https"})

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(keepalive_timeout=KEEPALIVE_SECONDS, limit=0)
        self._dialer = dialer
        buffer = memoryview(bytearray(PIECE))
        self._make_intake = functools.partial(Intake, buffer, self._loop)
        self._stages: dict[asyncio.Task[object] | None, Stage] = {}
        # How many connections there are to where there are any.
        self._open: Counter[tuple[str, int]] = Counter()
        # How the last connection to a place ended.
        self._emptied: dict[tuple[str, int], Lost] = {}
        self._ahead: dict[asyncio.Task[object] | None, socket.socket] = {}

    def take_stage(self) -> Stage | None:
        """Return, once, how far the new connection of the running task has come; None: none was made."""
        return self._stages.pop(asyncio.current_task(), None)

    def emptied(self, host: str, port: int) -> Lost | None:
        """Return how a place was last left without a connection; None if it never was."""
        return self._emptied.get((host, port))

    async def dial_ahead(self, host: str, port: int, *, within: timedelta | None = None) -> None:
        """Connect before the running task asks, where it will need a new connection; raises `FailureError`.

        Of a server that has just died that is all there is to learn, at a quarter of what a request costs.
        With `within` it needs one in any case, within that time.
        """
        if within is not None or (host, port) not in self._open:
            self._ahead[asyncio.current_task()] = await self._dialer.reach(host, port, self._reached(), within=within)
            # As long as it is not used, nothing has been reached by it.
            self.take_stage()

    def end_request(self) -> None:
        """Forget how the running task connected, and close what it did not use."""
        self.take_stage()
        ahead = self._ahead.pop(asyncio.current_task(), None)
        if ahead is not None:
            ahead.close()

    def _reached(self) -> Callable[[Stage], None]:
        task = asyncio.current_task()

        def reached(stage: Stage) -> None:
            self._stages[task] = stage

        return reached

    def _count(self, place: tuple[str, int], change: int, used_at: float) -> None:
        self._open[place] += change
        if not self._open[place]:
            del self._open[place]
            if len(self._emptied) >= MOST_PLACES:
                self._emptied.clear()
            at = time.monotonic()
            self._emptied[place] = Lost(at, idle=at - used_at)

    def explain_deadline(self, stage: Stage | None, host: str) -> Failure:
        """Return what a deadline means that struck at a stage of connecting."""
        match stage:
            case Stage.RESOLVING if not self._dialer.is_resolving(host):
                return Failure(reason=Reason.LOCAL, detail="All name look-ups hang; this one had no turn.")
            case Stage.RESOLVING:
                return Failure(reason=Reason.DNS, detail="The name was not resolved in time.")
            case Stage.CONNECTING:
                return Failure(reason=Reason.CONNECT_TIMEOUT, detail="No connection in time.")
            case Stage.HANDSHAKING:
                return Failure(reason=Reason.TLS, detail="The TLS handshake did not end in time.")
            case _:
                return Failure(reason=Reason.TIMEOUT, detail="Connected, but no whole answer in time.")

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        """Take a connection from the pool, unless there is a new one: those from before may be dead, and are closed."""
        if asyncio.current_task() not in self._ahead:
            return await super()._get(key, traces)
        while (idle := await super()._get(key, [])) is not None:
            idle.close()
        return None

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109  # the signature is aiohttp's
    ) -> ResponseHandler:
        """Make a connection for a request; raises `FailureError` with the reason."""
        key = req.connection_key
        host, port = key.host, key.port or 0
        intake = await self._dialer.dial(
            host,
            port,
            security=security.get() if key.is_ssl else None,
            factory=functools.partial(self._make_intake, functools.partial(self._count, (host, port))),
            reached=self._reached(),
            connection=self._ahead.pop(asyncio.current_task(), None),
        )
        return intake.handler
