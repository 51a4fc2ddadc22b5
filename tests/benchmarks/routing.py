"""A day of requests over six unequal servers, simulated: how long until the first token, by whose choice.

The order of choice under test is the resolver's own, over a fleet in memory that learns of residency and of slots as
late as an API would. Beside it, in the same run and over the same requests: a choice that knows everything, and the
one that routers make: loaded first, then by name. Nothing is loaded or generated, so no GPU is needed.
"""

import argparse
import heapq
import itertools
import math
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from monitor.domain import folding, resolver, tie_break
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy
from monitor.domain.resolver import Answer
from monitor.domain.selection import Request
from tests import boxes
from tests.benchmarks import stage
from tests.boxes import UP, Box, Has

DAY = 86_400.0
# Ollama's own: a model leaves memory five minutes after its last request.
KEEP_ALIVE = 300.0
# Gigabytes, and how often each is asked for.
MODELS = {
    "tiny:1b": (1.3, 30),
    "small:3b": (2.4, 30),
    "usual:8b": (5.5, 25),
    "code:14b": (9.5, 8),
    "large:32b": (20, 5),
}
MODELS |= {"huge:70b": (42, 2)}
SMOKE = ("--hours", "0.2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a server is: gigabytes of VRAM, requests at once, GB/s from its disk, prompt tokens/s of a 1 GB model.

    `priority` is what an operator would give it, who knows which machine is the faster one.
    """

    vram: float
    slots: int
    disk: float
    speed: float
    priority: int


MACHINES = {
    "z-cpu": Machine(vram=0, slots=1, disk=2, speed=900, priority=0),
    "b-12gb": Machine(vram=12, slots=1, disk=2, speed=9_000, priority=1),
    "c-24gb": Machine(vram=24, slots=2, disk=3, speed=18_000, priority=2),
    "d-24gb": Machine(vram=24, slots=2, disk=3, speed=18_000, priority=2),
    "e-48gb": Machine(vram=48, slots=4, disk=4, speed=24_000, priority=3),
    "f-80gb": Machine(vram=80, slots=4, disk=6, speed=40_000, priority=4),
}


@dataclass(frozen=True, slots=True)
class Demand:
    """One request: when, for which model, with so many tokens of prompt and so many seconds of answer on c-24gb."""

    at: float
    model: str
    prompt: int
    generation: float


@dataclass(slots=True)
class Server:
    """A server at work; `loaded` is until when each model stays in memory, `ends` when each request is done."""

    name: str
    machine: Machine
    loaded: dict[str, float] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)

    def busy(self, at: float) -> int:
        """Return how many requests are at work or wait."""
        while self.ends and self.ends[0] <= at:
            heapq.heappop(self.ends)
        return len(self.ends)

    def share_in_vram(self, model: str) -> float:
        """Return how much of a model fits into VRAM."""
        return min(1.0, self.machine.vram / MODELS[model][0])

    def first_token(self, demand: Demand) -> float:
        """Return the seconds until the first token, should the request come here."""
        at, size = demand.at, MODELS[demand.model][0]
        waiting = self.busy(at) - self.machine.slots
        wait = max(0.0, sorted(self.ends)[waiting] - at) if waiting >= 0 else 0.0
        load = 0.0 if self.loaded.get(demand.model, 0.0) > at else size / self.machine.disk
        slower = 1 + 8 * (1 - self.share_in_vram(demand.model))
        return wait + load + demand.prompt * size / self.machine.speed * slower

    def take(self, demand: Demand) -> float:
        """Serve a request; return the seconds until its first token."""
        seconds = self.first_token(demand)
        slower = 18_000 / self.machine.speed * (1 + 4 * (1 - self.share_in_vram(demand.model)))
        end = demand.at + seconds + demand.generation * slower
        heapq.heappush(self.ends, end)
        self._make_room(demand.model, demand.at)
        self.loaded[demand.model] = end + KEEP_ALIVE
        return seconds

    def _make_room(self, model: str, at: float) -> None:
        self.loaded = {name: until for name, until in self.loaded.items() if until > at}
        room = max(self.machine.vram, 64.0 if self.machine.vram == 0 else 0.0)
        for name in sorted(self.loaded, key=self.loaded.__getitem__):
            if sum(MODELS[each][0] for each in {*self.loaded, model}) <= room:
                return
            if name != model:
                del self.loaded[name]


Choice = Callable[[Sequence[Server], Demand], Server]


def omniscient(servers: Sequence[Server], demand: Demand) -> Server:
    """Choose by what really would happen."""
    return min(servers, key=lambda server: server.first_token(demand))


def loaded_then_name(servers: Sequence[Server], demand: Demand) -> Server:
    """Choose as routers do that know residency alone."""
    return min(servers, key=lambda server: (server.loaded.get(demand.model, 0.0) <= demand.at, server.name))


class Ours:
    """The resolver, over a fleet that is told of residency and of slots some seconds late."""

    def __init__(self, *, residency_after: float, slots_after: float) -> None:
        self._late = {"residency": residency_after, "slots": slots_after}
        self._fleet = Directory()
        self._copies: dict[tuple[str, str], Copy] = {}
        self._news: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        for name, machine in MACHINES.items():
            server_id = uuid.uuid5(uuid.NAMESPACE_DNS, name)
            columns = boxes.server_columns(
                Box(name, {**UP, "max_concurrent": machine.slots, "priority": machine.priority})
            )
            # Whether there is VRAM has shown on an earlier day.
            folding.add_server(self._fleet, server_id, columns, fresh_from=0.0, vram_seen=machine.vram > 0)
            for model in MODELS:
                model_id = uuid.uuid5(server_id, model)
                folding.add_model(self._fleet, server_id, model_id, boxes.model_columns(Has(model)))
                self._copies[name, model] = self._fleet.servers[server_id].copies[model_id]

    def __call__(self, servers: Sequence[Server], demand: Demand) -> Server:
        """Ask the resolver; what comes of its answer is news for later."""
        while self._news and self._news[0][0] <= demand.at:
            heapq.heappop(self._news)[2]()
        outcome = resolver.resolve(Request(model=demand.model), self._fleet, tie_break.of_session(None))
        assert isinstance(outcome, Answer)
        assert outcome.server is not None
        return next(server for server in servers if server.name == outcome.server.name)

    def served(self, server: Server, at: float, end: float, model: str) -> None:
        """Hear that a request was taken."""
        entry = self._copies[server.name, model].server
        for when, change in ((at, 1), (end, -1)):
            self._later(when + self._late["slots"], partial(self._use, entry, change))
        self._later(at + self._late["residency"], lambda: self._see(server, at + self._late["residency"]))
        gone = end + KEEP_ALIVE + self._late["residency"]
        self._later(gone, lambda: self._see(server, gone))

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._news, (at, next(self._number), act))

    def _use(self, entry: Any, change: int) -> None:
        self._fleet.change(entry, {"slots_in_use": max(0, entry.slots_in_use + change)})

    def _see(self, server: Server, at: float) -> None:
        for model, (size, _) in MODELS.items():
            copy, is_loaded = self._copies[server.name, model], server.loaded.get(model, 0.0) > at
            vram = int(size * 1e9 * server.share_in_vram(model)) if is_loaded else None
            if copy.size_vram != vram:
                whole = int(size * 1e9) if is_loaded else None
                self._fleet.change_copy(copy, {"size_vram": vram, "loaded_size_bytes": whole})


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how long the day is, how much is asked, and how late our fleet knows."""
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--per-hour", type=float, default=1500.0, help="requests an hour, on average over a day")
    parser.add_argument("--residency-after", type=float, default=10.0, help="seconds until a load is known")
    parser.add_argument("--slots-after", type=float, default=1.0, help="seconds until a slot in use is known")
    parser.add_argument("--seed", type=int, default=1)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Have each way choose for the same requests."""
    demands = list(_demands(options))
    ours = Ours(residency_after=options.residency_after, slots_after=options.slots_after)
    seconds = {
        "ours": _serve(demands, ours, ours.served),
        "omniscient": _serve(demands, omniscient),
        "loaded_then_name": _serve(demands, loaded_then_name),
    }
    figures: dict[str, Any] = {"requests": len(demands)}
    for name, waits in seconds.items():
        for share in (50, 95, 99):
            figures[f"{name}_p{share}_s"] = round(stage.percentile(waits, share / 100), 2)
    ours_p95 = stage.percentile(seconds["ours"], 0.95)
    return figures | {
        "p95_to_omniscient": round(ours_p95 / stage.percentile(seconds["omniscient"], 0.95), 2),
        "p95_of_loaded_then_name_to_ours": round(stage.percentile(seconds["loaded_then_name"], 0.95) / ours_p95, 1),
    }


def _serve(
    demands: Sequence[Demand], choose: Choice, served: Callable[[Server, float, float, str], None] | None = None
) -> list[float]:
    servers = [Server(name, machine) for name, machine in MACHINES.items()]
    waits: list[float] = []
    for demand in demands:
        server = choose(servers, demand)
        waits.append(server.take(demand))
        if served is not None:
            served(server, demand.at, server.loaded[demand.model] - KEEP_ALIVE, demand.model)
    return waits


def _demands(options: argparse.Namespace) -> Iterator[Demand]:
    """Yield requests that come by chance, few at night and many in the afternoon."""
    chance = random.Random(options.seed)
    names, weights = list(MODELS), [weight for _, weight in MODELS.values()]
    at, end = 0.0, options.hours * 3600
    while True:
        at += chance.expovariate(options.per_hour * 2 / 3600)
        if at >= end:
            return
        if chance.random() < 0.5 - 0.45 * math.cos(2 * math.pi * at / DAY):
            prompt = min(8000, int(chance.lognormvariate(5.5, 1.0)))
            yield Demand(at, chance.choices(names, weights)[0], prompt, chance.expovariate(1 / 4))
