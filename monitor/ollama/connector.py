"""The connections for probes: pooled by aiohttp, but made by our dialer, and with a cap on what comes in.

aiohttp's own connector would hide which step failed or hung, and would ask its resolver hook about names
only, never about literal addresses.
"""

import asyncio
import functools

from aiohttp import BaseConnector, ClientPayloadError, ClientRequest, ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.tracing import Trace

from monitor.domain.probe import Reason
from monitor.ollama.dialer import Dialer, Stage
from monitor.ollama.failure import Failure, FailureError

KEEPALIVE_SECONDS = 300.0
MAX_HEAD = 64 * 1024
TOO_MUCH = "The server sends more than any answer needs."


class CountingHandler(ResponseHandler):
    """Ends a connection that brings too many bytes for one answer, whatever they are.

    The body has a cap of its own; this one holds for what never becomes body: endless heads, floods of
    interim answers, chunk extensions and trailers.
    """

    cap = 0
    received = 0

    def set_response_params(self, **parameters: object) -> None:
        """Begin to count anew for the next answer."""
        self.received = 0
        self._payload = None
        super().set_response_params(**parameters)  # type: ignore[arg-type]  # passed on unread

    def data_received(self, data: bytes) -> None:
        """Count before parsing; what comes in at once may be the head and much of the body."""
        in_head = self._payload is None or self._payload is EMPTY_PAYLOAD
        if self.received > (MAX_HEAD if in_head else self.cap):
            self._give_up()
            return
        self.received += len(data)
        super().data_received(data)

    def _give_up(self) -> None:
        error = ClientPayloadError(TOO_MUCH)
        error.__cause__ = FailureError(Reason.TOO_LARGE, TOO_MUCH)
        if self._payload is not None:
            self._payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class GuardedConnector(BaseConnector):
    """Makes and pools connections, only to addresses that the guard allows."""

    allowed_protocol_schema_set = frozenset({"http", "https"})

    def __init__(self, dialer: Dialer, *, max_bytes: int) -> None:
        super().__init__(keepalive_timeout=KEEPALIVE_SECONDS, limit=0)
        self._dialer = dialer
        self._max_bytes = max_bytes
        self._factory = functools.partial[ResponseHandler](self._make_handler, self._loop)
        self._stages: dict[asyncio.Task[object] | None, Stage] = {}

    def take_stage(self) -> Stage | None:
        """Return, once, how far the new connection of the running task has come; None: none was made."""
        return self._stages.pop(asyncio.current_task(), None)

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

    def _make_handler(self, loop: asyncio.AbstractEventLoop) -> ResponseHandler:
        handler = CountingHandler(loop)
        handler.cap = self._max_bytes
        return handler

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109  # the signature is aiohttp's
    ) -> ResponseHandler:
        """Make a connection for a request; raises `FailureError` with the reason."""
        key = req.connection_key
        task = asyncio.current_task()

        def reached(stage: Stage) -> None:
            self._stages[task] = stage

        return await self._dialer.dial(
            key.host, key.port or 0, secure=key.is_ssl, factory=self._factory, reached=reached
        )
