"""One server asked once, step by step, for a person: the prober's own verdict, and what led to it.

The same prober, lister, dialer, guard and limits as in the daemon are at work, so the verdict is the same.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.domain import evaluation
from monitor.domain.probe import Listing, ProbeResult, Reason, Residency
from monitor.domain.server import Server
from monitor.ollama import guard
from monitor.ollama.lister import HttpLister
from monitor.ollama.names import NameResolver
from monitor.ollama.prober import HttpProber
from monitor.ollama.tls import Contexts
from monitor.ollama.trace import ObservedClient, Step, Trace

ALIVE = frozenset({Reason.OK, Reason.BUSY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was seen; `result` is what `HttpProber` gave, `listing` is None when the server was not asked for it."""

    url: str
    steps: tuple[Step, ...]
    result: ProbeResult
    listing: Listing | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the server answers as Ollama does, perhaps that it is busy."""
        return self.result.reason in ALIVE

    @property
    def trouble(self) -> Reason:
        """What is to be seen to: the verdict's reason, or that a server which is alive cannot list its models."""
        if self.listing is not None and self.listing.reason is not Reason.OK:
            return Reason.LIST_FAILED
        return self.result.reason

    @property
    def detail(self) -> str:
        """What is to be said of the trouble beside its reason."""
        if self.trouble is Reason.LIST_FAILED and self.listing is not None:
            return evaluation.list_failure(self.listing)
        return self.result.detail


async def examine(
    server: Server,
    *,
    allowed_networks: Sequence[guard.Network] = (),
    names: NameResolver | None = None,
    tls: Contexts | None = None,
) -> Examination:
    """Probe a server once and, if it is well, list its models once; each within the time of its policy."""
    trace = Trace()
    async with ObservedClient(trace, allowed_networks=allowed_networks, names=names, tls=tls) as client:
        prober = HttpProber(client)
        result = await prober.probe(server)
        steps = _blamed(trace.take(), result)
        if result.reason is not Reason.OK:
            return Examination(url=server.url, steps=steps, result=result)
        lister = HttpLister(client, spoken=prober.spoken)
        began = time.perf_counter()
        listing = await lister.list_models(server)
        listed = time.perf_counter()
        residency = await lister.list_loaded(server)
        ended = time.perf_counter()
    lists = (
        _step("models", listing, seconds=listed - began, seen=_counted(listing)),
        _step("loaded", residency, seconds=ended - listed, seen=_in_memory(residency)),
    )
    return Examination(url=server.url, steps=steps + lists, result=result, listing=listing)


def _blamed(steps: Sequence[Step], result: ProbeResult) -> tuple[Step, ...]:
    """Return the steps, with the last one as the failed one when all went well but the answer is of no use."""
    if result.reason is Reason.OK or not all(step.ok for step in steps):
        return tuple(steps)
    *before, last = steps
    return (*before, replace(last, ok=False, seen=f"{last.seen}: {result.detail}"))


def _step(name: str, answer: Listing | Residency, *, seconds: float, seen: str) -> Step:
    ok = answer.reason is Reason.OK
    return Step(name=name, ok=ok, seconds=seconds, seen=seen if ok else f"{answer.reason}: {answer.detail}")


def _counted(listing: Listing) -> str:
    unusable = f", {listing.dropped} entries that cannot be used" if listing.dropped else ""
    return f"{len(listing.models)} on disk{unusable}"


def _in_memory(residency: Residency) -> str:
    return "cannot be told" if residency.models is None else f"{len(residency.models)} in memory"
