"""Servers that answer what they are told to, a recorder that only keeps, and gates to hold them up at."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from monitor.domain.availability import Availability
from monitor.domain.fleet import Watched
from monitor.domain.probe import ListedModel, Listing, ProbeResult, Reason, Residency, ShownModel
from monitor.domain.record import ServerRecord
from monitor.domain.server import Server


@dataclass
class KeepingRecorder:
    """Implements `ports.Recorder`: keeps all records in order."""

    taken: list[tuple[ServerRecord, bool]] = field(default_factory=list)

    def record(self, record: ServerRecord, /, *, at_once: bool) -> None:
        """Keep the record."""
        self.taken.append((record, at_once))


class ToldProber:
    """Implements `ports.Prober`: answers what it is told to, once its gate is open."""

    def __init__(self) -> None:
        self.answer: ProbeResult | Exception = ProbeResult(reason=Reason.OK, server_version="0.9.6")
        self.asked: list[Server] = []
        self.connect_within: timedelta | None = None
        self.gate = open_gate()

    async def probe(self, server: Server, /, *, connect_within: timedelta | None = None) -> ProbeResult:
        """Answer, or fail as no prober should."""
        self.asked.append(server)
        self.connect_within = connect_within
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class ToldLister:
    """Implements `ports.Lister`: one server's models; `listings` are answered first, one each."""

    def __init__(self) -> None:
        self.models: tuple[ListedModel, ...] = ()
        self.listings: list[Listing] = []
        self.residency = Residency(reason=Reason.OK, models=())
        self.shown = ShownModel(reason=Reason.OK, capabilities=("completion",), context_length=4096)
        self.lists = 0
        self.shows: list[str] = []
        self.gate = open_gate()

    async def list_models(self, _server: Server, /) -> Listing:
        """List the models, or whatever is to be answered first."""
        self.lists += 1
        await self.gate.wait()
        return self.listings.pop(0) if self.listings else Listing(reason=Reason.OK, models=self.models)

    async def list_loaded(self, _server: Server, /) -> Residency:
        """List what is in memory."""
        return self.residency

    async def show(self, _server: Server, model_name: str, /) -> ShownModel:
        """Tell of one model."""
        self.shows.append(model_name)
        return self.shown


class NoDoubt:
    """Implements `ports.Doubt`: what a probe says is so."""

    def own_fault(self, result: ProbeResult, /, **_times: object) -> ProbeResult:
        """Return the result as it is."""
        return result

    def weigh(
        self, _watched: Watched, _result: ProbeResult, after: Availability, /, *, began: float, at: float
    ) -> Availability:
        """Return what the probe makes of the server."""
        return after


def open_gate() -> asyncio.Event:
    """Return a gate that nobody has to wait at until it is closed with `clear`."""
    gate = asyncio.Event()
    gate.set()
    return gate
