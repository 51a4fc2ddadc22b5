"""The rows of the matrix: how each kind of fault is drawn, how long it lasts, and whose fault it is."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from tests.virtual.trace import DEADLY, TOO_SLOW, Fault, Kind

# Seconds. Between two times of standing still a starved process gets a moment, in which few answers come.
MOMENT = (0.002, 0.05)
NETWORKS = 4
# Time for several servers to be struck, one after the other.
SPREAD = 30.0
# A resolver that says at once that it cannot tell, and one that is silent.
SERVFAIL, SILENCE = 0.01, 10.0
HOUR = 3600.0

Draw = Callable[[random.Random, int, float], list[Fault]]


class Truth(StrEnum):
    """Whose fault a row is, and so what a down verdict in it is worth."""

    MONITOR = "the monitor's fault: every down verdict is false"
    NETWORK = "the network's fault, the servers run: every down verdict is false"
    CUT_OFF = (
        "one network is cut off while all else answers, which from one place looks like its death: every down verdict "
        "is false, and not in the totals, since only a second opinion could tell"
    )
    BUSY = "the servers answer that they are busy: every down verdict is false"
    AWAY = "the service is away for its clients, too: a down verdict is true until the end, false after it"
    DEAD = "servers die for good: verdicts on them are true, on all others false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of incident; `named` is the share of servers that are known by a name, on new connections."""

    draw: Draw
    truth: Truth
    named: float = 0.0


def _stalls(chance: random.Random, _: int, at: float, *, seconds: float, times: int) -> list[Fault]:
    faults = []
    for _number in range(times):
        faults.append(Fault(kind=Kind.STALL, begin=at, end=at + seconds))
        at += seconds + chance.uniform(*MOMENT)
    return faults


def _all(
    _: random.Random, __: int, at: float, *, kind: Kind, lasts: float = math.inf, size: float = 0.0
) -> list[Fault]:
    return [Fault(kind=kind, begin=at, end=at + lasts, size=size)]


def _network(chance: random.Random, count: int, at: float, *, kind: Kind, lasts: float = math.inf) -> list[Fault]:
    which = chance.randrange(min(NETWORKS, count))
    return [Fault(kind=kind, begin=at, end=at + lasts, servers=frozenset(range(which, count, NETWORKS)))]


def _no_names(chance: random.Random, _: int, at: float, *, lasts: float) -> list[Fault]:
    return [Fault(kind=Kind.NO_NAMES, begin=at, end=at + lasts, size=chance.choice((SERVFAIL, SILENCE)))]


def _some(chance: random.Random, count: int, at: float, *, kind: Kind, lasts: float = math.inf) -> list[Fault]:
    """Strike a fiftieth of the servers, at least one, at any times."""
    struck = chance.sample(range(count), max(1, count // 50))
    times = [at + SPREAD * chance.random() for _ in struck]
    return [
        Fault(kind=kind, begin=begin, end=begin + lasts, servers=frozenset({number}))
        for number, begin in zip(struck, times, strict=True)
    ]


def _together(chance: random.Random, count: int, at: float, *, kind: Kind, share: float) -> list[Fault]:
    struck = chance.sample(range(count), math.ceil(share * count))
    return [Fault(kind=kind, begin=at, servers=frozenset(struck))]


def _rows() -> Iterable[tuple[str, Row]]:
    for seconds, times in ((0.1, 10), (1.0, 5), (5.0, 3), (30.0, 2)):
        yield f"stall {seconds:g} s", Row(draw=partial(_stalls, seconds=seconds, times=times), truth=Truth.MONITOR)
    yield "clock step", Row(draw=partial(_all, kind=Kind.CLOCK_STEP, size=-HOUR), truth=Truth.MONITOR)
    for share in (0.01, 0.05, 0.1, 0.3):
        draw: Draw = partial(_all, kind=Kind.LOSS, lasts=45.0, size=share)
        yield f"loss {share:.0%}", Row(draw=draw, truth=Truth.NETWORK)
    for late in (0.2, 1.0, 3.0, 10.0):
        draw = partial(_all, kind=Kind.DELAY, lasts=30.0, size=late)
        yield f"delay {late:g} s", Row(draw=draw, truth=Truth.AWAY if late >= TOO_SLOW else Truth.NETWORK)
    for lasts in (10.0, 60.0):
        for named, of in ((1.0, "all"), (0.5, "half")):
            row = Row(draw=partial(_no_names, lasts=lasts), truth=Truth.NETWORK, named=named)
            yield f"dns {lasts:g} s, {of} named", row
    yield "half-open", Row(draw=partial(_all, kind=Kind.HALF_OPEN), truth=Truth.NETWORK)
    for lasts in (10.0, 25.0):
        draw = partial(_all, kind=Kind.ONE_WAY, lasts=lasts)
        yield f"one-way {lasts:g} s, all", Row(draw=draw, truth=Truth.NETWORK)
        draw = partial(_network, kind=Kind.ONE_WAY, lasts=lasts)
        yield f"one-way {lasts:g} s, one network", Row(draw=draw, truth=Truth.CUT_OFF)
    yield "429 storm", Row(draw=partial(_all, kind=Kind.BUSY, lasts=60.0), truth=Truth.BUSY)
    for lasts in (1.0, 3.0, 5.0, 10.0):
        yield f"paused {lasts:g} s", Row(draw=partial(_some, kind=Kind.PAUSE, lasts=lasts), truth=Truth.AWAY)
    for name, kind in (("kill -9", Kind.KILL), ("power loss", Kind.POWER_LOSS)):
        yield f"{name}, some", Row(draw=partial(_some, kind=kind), truth=Truth.DEAD)
        yield f"{name}, a third", Row(draw=partial(_together, kind=kind, share=1 / 3), truth=Truth.DEAD)
        yield f"{name}, one network", Row(draw=partial(_network, kind=kind), truth=Truth.DEAD)
        yield f"{name}, 60 %", Row(draw=partial(_together, kind=kind, share=0.6), truth=Truth.DEAD)


ROWS = dict(_rows())


def lasting(faults: Iterable[Fault]) -> float:
    """Return when the last of these faults is over, or has struck for good."""
    return max(fault.begin if fault.end == math.inf or fault.kind in DEADLY else fault.end for fault in faults)
