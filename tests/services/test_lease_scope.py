"""What works under a lease is there while it is held and gone when it is lost; a clean stop writes what waits."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from monitor.domain.availability import Status
from monitor.domain.counters import Counters
from monitor.domain.event import Announcement, EventType
from monitor.domain.lease import Lease
from monitor.domain.probe import ProbeResult, Reason
from monitor.lease_scope import LeaseScope, Network, Stores
from monitor.services import lease_keeper, recorder
from monitor.services.lease_keeper import LeaseKeeper
from monitor.settings import Settings
from tests.services.conftest import settled, until, watched
from tests.services.fakes import (
    MemoryAnnouncements,
    MemoryDatabase,
    MemoryEvents,
    MemoryHistory,
    MemoryLeases,
    MemoryServers,
)
from tests.services.holds import ToldHolder
from tests.services.memory_inventory import MemoryInventory
from tests.services.told import ToldLister, ToldProber

SETTINGS = Settings.model_construct()


class Bench:
    """A monitor whose world is in memory: its keeper, and the stores of each lease that it has won."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.prober, self.lister, self.holder = ToldProber(), ToldLister(), ToldHolder()
        self.counters = Counters()
        self.events = MemoryEvents(database, old=0)
        self.scopes: list[LeaseScope] = []
        self.results: list[MemoryServers] = []
        self.histories: list[MemoryHistory] = []
        self.announcements: list[MemoryAnnouncements] = []
        self.stop = asyncio.Event()
        self.is_working = False
        self.keeper = LeaseKeeper(MemoryLeases(database), work=self._work)

    @property
    def network(self) -> Network:
        """Servers that answer what they are told to."""
        return Network(
            prober=self.prober,
            lister=self.lister,
            holder=self.holder,
            refuses=lambda _: False,
            is_here=lambda _: False,
            looked_up_at=lambda: -math.inf,
            most_connections=100,
        )

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        self.results.append(MemoryServers(self.database, lease))
        self.histories.append(MemoryHistory(self.database, lease))
        self.announcements.append(MemoryAnnouncements(self.database, lease))
        stores = Stores(
            servers=self.results[-1],
            results=self.results[-1],
            inventory=MemoryInventory(self.database, lease),
            history=self.histories[-1],
            announcements=self.announcements[-1],
            events=self.events,
        )
        self.scopes.append(LeaseScope(SETTINGS, network=self.network, stores=stores, counters=self.counters))
        self.is_working = True
        try:
            await self.scopes[-1].run(stop)
        finally:
            self.is_working = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Run until the end of the block, and then stop in order."""
        task = asyncio.create_task(self.keeper.run(self.stop))
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.wait_for(task, 10)

    async def lose(self) -> None:
        """Have somebody else take the lease, and the monitor notice."""
        held = self.database.lease
        assert held is not None
        self.database.lease = replace(held, epoch=held.epoch + 100)
        await until(lambda: not self.is_working)

    async def win_again(self) -> None:
        """Have the lease become free."""
        scopes = len(self.scopes)
        self.database.lease = None
        await until(lambda: len(self.scopes) > scopes)


@pytest.fixture
async def bench(database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A monitor that looks after its lease all the time; the lease is free, and there is one server, which is up."""
    monkeypatch.setattr(lease_keeper, "STANDBY", 0.002)
    monkeypatch.setattr(lease_keeper, "RENEWAL", 0.002)
    database.lease = None
    database.save(watched(1))
    return Bench(database)


async def test_standing_by_nobody_is_asked_anything(bench: Bench, database: MemoryDatabase) -> None:
    database.lease = Lease(shard=0, owner=watched(9).server.id, epoch=7)
    async with bench.at_work():
        await settled()
        assert (bench.scopes, bench.prober.asked, bench.events.steps) == ([], [], [])
    assert database.lease == Lease(shard=0, owner=watched(9).server.id, epoch=7)


async def test_with_the_lease_the_fleet_is_read_and_checked(bench: Bench, database: MemoryDatabase) -> None:
    async with bench.at_work():
        await until(lambda: bench.results and bench.results[0].written)
        assert bench.results[0].snapshots == 1
        assert bench.scopes[0].progress > (0, 0)
    assert database.lease is None


async def test_what_is_lost_with_the_lease_is_gone_and_all_is_read_anew_with_the_next_one(bench: Bench) -> None:
    async with bench.at_work():
        await until(lambda: bench.results and bench.results[0].written)
        await until(lambda: bench.holder.open == 1)
        bench.prober.gate.clear()
        bench.lister.gate.clear()
        bench.scopes[0]._check_again(watched(1).server.id)
        await until(lambda: bench.scopes[0].checks.in_flight)
        await bench.lose()
        assert bench.holder.open == 0
        assert (bench.scopes[0].checks.in_flight, bench.scopes[0].discoveries.in_flight) == (0, 0)
        bench.prober.gate.set()
        counted = bench.counters.answers[Reason.OK]
        await bench.win_again()
        await until(lambda: bench.results[1].snapshots)
        bench.scopes[1]._check_again(watched(1).server.id)
        # Counted on, and not from the beginning.
        await until(lambda: bench.counters.answers[Reason.OK] > counted >= 1)
        await until(lambda: bench.results[1].written)
        assert bench.results[1].snapshots == 1


async def test_what_waits_when_the_lease_is_lost_is_dropped_and_not_written_under_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 3600.0)
    async with bench.at_work():
        await until(lambda: bench.results and bench.results[0].written)
        first = bench.scopes[0]
        await until(lambda: first.recorder.waiting == 0)
        bench.announcements[0].gate.clear()
        first._announcer.announce(Announcement(type=EventType.MONITOR_ISOLATED, since=1.0, body={}))
        first.recorder.record(watched(1).record(), at_once=False)
        assert first.recorder.waiting == 1
        await bench.lose()
        written = sum(map(len, bench.results[0].batches))
        bench.announcements[0].gate.set()
        bench.prober.answer = ProbeResult(reason=Reason.LOCAL, detail="no descriptors")
        await bench.win_again()
        await until(lambda: bench.results[1].snapshots)
        await settled()
    assert sum(map(len, bench.results[0].batches)) == written
    assert watched(1).server.id not in bench.results[1].written
    assert [each.log for each in bench.announcements] == [[], []]
    assert bench.histories[1].written == []


async def test_a_clean_stop_writes_what_waits_and_gives_the_lease_up(
    bench: Bench, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 3600.0)
    async with bench.at_work():
        await until(lambda: bench.results and bench.results[0].written)
        record = replace(watched(1).record(), status=Status.DEGRADED)
        bench.scopes[0].recorder.record(record, at_once=False)
    assert bench.results[0].written[watched(1).server.id].status is Status.DEGRADED
    assert (bench.scopes[0].recorder.waiting, database.lease) == (0, None)
    assert len(bench.histories[0].written) == 1
