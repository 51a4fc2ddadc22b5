"""One incident of a fleet, judged by our daemon and by the reference rules: what each said, and what was true."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.virtual import clock, network, references, rows
from tests.virtual.clock import ShownTime, VirtualLoop
from tests.virtual.daemon import POLICY, Daemon
from tests.virtual.network import Client
from tests.virtual.references import Down
from tests.virtual.rows import Row
from tests.virtual.trace import Kind, Trace

OURS = "ours"
JUDGES = (OURS, *references.RULES)
INTERVAL, PATIENCE = POLICY.interval.total_seconds(), POLICY.timeout.total_seconds()
# Seconds. Before an incident all servers are watched; after it every late verdict has come.
QUIET_BEFORE = 8.0
QUIET_AFTER = 35.0
UNTIL_DEATHS_ARE_KNOWN = 60.0


@dataclass(kw_only=True)
class Tally:
    """What came of incidents: false and true down verdicts of each judge, and how long deaths were not known.

    `suspected` is how long it took until our first bad answer from one that had died.
    """

    incidents: int = 0
    server_days: float = 0.0
    isolations: int = 0
    false: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    detection: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in JUDGES})
    suspected: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what came of other incidents."""
        self.incidents += other.incidents
        self.server_days += other.server_days
        self.isolations += other.isolations
        self.false += other.false
        self.true += other.true
        self.missed += other.missed
        self.suspected += other.suspected
        for name, delays in other.detection.items():
            self.detection[name] += delays


def live(row: Row, *, servers: int, seed: str) -> Tally:
    """Live through one incident."""
    chance = random.Random(seed)
    begin = clock.BEGINNING
    faults = row.draw(chance, servers, begin + QUIET_BEFORE)
    after = UNTIL_DEATHS_ARE_KNOWN if row.truth is rows.Truth.DEAD else QUIET_AFTER
    trace = Trace(faults, servers=servers, begin=begin, end=rows.lasting(faults) + after)
    hosts = network.hosts(servers, networks=rows.NETWORKS, named=row.named, chance=chance)

    async def main(loop: VirtualLoop, shows: ShownTime) -> Daemon:
        daemon = Daemon(loop, Client(trace, hosts, chance, remembers=True), hosts, chance)
        _strike_the_monitor(trace, loop, shows)
        await daemon.run(trace.end - begin)
        return daemon

    daemon = clock.run(main, seed=seed)
    others = random.Random(f"references {seed}")
    found = references.judge(trace, Client(trace, hosts, others), others, interval=INTERVAL, patience=PATIENCE)
    return _tally(trace, {OURS: daemon.recorder.downs, **found}, bad=daemon.recorder.bad, isolations=daemon.isolations)


def _strike_the_monitor(trace: Trace, loop: VirtualLoop, shows: ShownTime) -> None:
    def step(by: float) -> None:
        shows.step += by

    for fault in trace.ours:
        if fault.kind is Kind.STALL:
            loop.call_at(fault.begin, loop.stand_still, fault.end)
        else:
            loop.call_at(fault.begin, step, fault.size)


def _tally(trace: Trace, found: dict[str, list[Down]], *, bad: list[Down], isolations: int) -> Tally:
    tally, deaths = Tally(incidents=1, isolations=isolations), trace.deaths()
    for name, downs in found.items():
        false = sum(trace.is_there(down.number, down.at) for down in downs)
        tally.false[name] += false
        tally.true[name] += len(downs) - false
        delays = _delays(deaths, downs)
        tally.missed[name] += len(deaths) - len(delays)
        tally.detection[name] += delays
    tally.suspected += _delays(deaths, bad)
    return tally


def _delays(deaths: dict[int, float], told: Iterable[Down]) -> list[float]:
    """Return how long after each death the first that was told of it came; those never told of are missing."""
    known: dict[int, float] = {}
    for down in told:
        if down.number in deaths and down.at >= deaths[down.number]:
            known.setdefault(down.number, down.at)
    return [at - deaths[number] for number, at in known.items()]
