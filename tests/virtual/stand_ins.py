"""The ports of the monitor's real parts, over a simulated network: who asks, who holds connections, who is told."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from math import inf

from monitor.domain.availability import Status
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.record import ServerRecord
from monitor.domain.server import Server, ServerId
from monitor.domain.watching import Ending
from tests.virtual.clock import VirtualLoop
from tests.virtual.network import Client
from tests.virtual.references import Down


class SimulatedProber:
    """Implements `ports.Prober`."""

    def __init__(self, loop: VirtualLoop, client: Client) -> None:
        self._loop = loop
        self._client = client

    async def probe(self, server: Server, /, *, connect_within: timedelta | None = None) -> ProbeResult:
        """Ask; an answer that waited until the time-out was due as well comes too late, as in asyncio."""
        number, began = int(server.name), self._loop.time()
        patience = server.policy.timeout.total_seconds()
        within = None if connect_within is None else connect_within.total_seconds()
        outcome = self._client.ask(number, began, patience=patience, connect_within=within)
        try:
            await asyncio.sleep(outcome.at - began)
        except asyncio.CancelledError:
            self._client.give_up(number)
            raise
        if within is not None and self._loop.time() >= began + within > outcome.at:
            self._client.give_up(number)
            return ProbeResult(reason=Reason.CONNECT_TIMEOUT)
        if self._loop.time() >= began + patience > outcome.at:
            self._client.give_up(number)
            return ProbeResult(reason=Reason.TIMEOUT)
        if outcome.reason in {Reason.OK, Reason.BUSY}:
            return ProbeResult(reason=outcome.reason, latency=timedelta(seconds=outcome.at - began))
        return ProbeResult(reason=outcome.reason)


class SimulatedHold:
    """Implements `ports.Hold`."""

    def __init__(self, ended: Callable[[Ending], None]) -> None:
        self._ended = ended
        self.is_open = True

    def end(self, ending: Ending) -> None:
        """End by itself, unless we have closed it."""
        if self.is_open:
            self.is_open = False
            self._ended(ending)

    def close(self) -> None:
        """Let go."""
        self.is_open = False


class SimulatedHolder:
    """Implements `ports.Holder`."""

    def __init__(self, loop: VirtualLoop, client: Client) -> None:
        self._loop = loop
        self._client = client

    async def hold(self, server: Server, ended: Callable[[Ending], None], /) -> SimulatedHold | None:
        """Connect, and end when the connection does."""
        number, now = int(server.name), self._loop.time()
        connected = self._client.connect(number, now, deadline=now + server.policy.timeout.total_seconds())
        await asyncio.sleep(connected.at - now)
        if connected.reason is not Reason.OK:
            return None
        hold, (ends, ending) = SimulatedHold(ended), self._client.watch_ends(number, connected.at)
        if ends < inf:
            self._loop.call_at(ends, hold.end, ending)
        return hold


class NotingRecorder:
    """Implements `ports.Recorder`: notes when a server goes down, and when the first bad answer came."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._numbers: dict[ServerId, int] = {}
        self._is_down: set[int] = set()
        self.downs: list[Down] = []
        self.bad: list[Down] = []

    def know(self, server: Server) -> None:
        """Get to know a server."""
        self._numbers[server.id] = int(server.name)

    def record(self, record: ServerRecord, /, *, at_once: bool) -> None:
        """Note what changes."""
        number, at = self._numbers[record.server_id], self._loop.time()
        if record.good is False:
            self.bad.append(Down(number=number, at=at))
        if record.status is not Status.DOWN:
            self._is_down.discard(number)
        elif number not in self._is_down:
            self._is_down.add(number)
            self.downs.append(Down(number=number, at=at))
