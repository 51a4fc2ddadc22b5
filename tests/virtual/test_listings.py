"""How often a server is listed and its memory looked into, over an hour of virtual time."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from monitor.domain.availability import Status
from monitor.domain.fleet import Fleet
from monitor.domain.lease import Lease
from monitor.domain.probe import ListedModel, Listing, LoadedModel, Residency
from monitor.domain.schedule import Schedule
from monitor.domain.server import Server, ServerId
from monitor.lease_scope import LISTING_SWEEP
from monitor.services.discovery import Discovery
from monitor.services.dispatcher import Dispatcher
from monitor.services.sweep import Sweep
from tests.services.conftest import watched
from tests.services.fakes import MemoryDatabase
from tests.services.memory_inventory import MemoryInventory
from tests.services.told import KeepingRecorder, NoDoubt, ToldLister, ToldProber
from tests.virtual import clock
from tests.virtual.clock import EPOCH, ShownTime, VirtualLoop

HOUR = 3600.0
TINY = ListedModel(model_name="tiny:1b", digest="a" * 64, capabilities=("completion",))
BIG = ListedModel(model_name="big:70b", digest="b" * 64, capabilities=("completion",))
IN_MEMORY = LoadedModel(model_name="tiny:1b", size_bytes=9, size_vram=9)


class TimedLister(ToldLister):
    """Notes when it is asked; `then` are changes by the time at which they come, in seconds from the beginning."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._began = loop.time()
        self.models = (TINY, BIG)
        self.listed: list[float] = []
        self.looked: list[float] = []

    async def list_models(self, server: Server, /) -> Listing:
        """List."""
        self.listed.append(self._loop.time() - self._began)
        return await super().list_models(server)

    async def list_loaded(self, server: Server, /) -> Residency:
        """Look."""
        self.looked.append(self._loop.time() - self._began)
        return await super().list_loaded(server)

    def will(self, at: float, act: Callable[[], None]) -> None:
        """Change at a time."""
        self._loop.call_at(self._began + at, act)

    def load(self, *models: LoadedModel) -> None:
        """Have these in memory from now on."""
        self.residency = replace(self.residency, models=models)


class Day:
    """One server under a discovery, in virtual time."""

    def __init__(self, seconds: float, plan: Callable[["Day"], None] = lambda _: None) -> None:
        self._seconds = seconds
        self._plan = plan
        self.entry = watched(status=Status.UP)
        self.removed_at: float | None = None

    def pass_by(self) -> TimedLister:
        """Let the time pass; return who was asked."""
        return clock.run(self._live, seed="listings")

    async def _live(self, loop: VirtualLoop, _shows: ShownTime) -> TimedLister:
        database = MemoryDatabase()
        database.lease = Lease(shard=0, owner=self.entry.server.id, epoch=1)
        database.save(self.entry)
        fleet, agenda, self.lister = Fleet(), Schedule(), TimedLister(loop)
        fleet.put(self.entry)
        self.store = MemoryInventory(database)
        self.discovery = Discovery(
            fleet=fleet,
            agenda=agenda,
            lister=self.lister,
            prober=ToldProber(),
            store=self.store,
            recorder=KeepingRecorder(),
            doubt=NoDoubt(),
            interval=timedelta(seconds=60),
        )
        work = Dispatcher(self.discovery.run, name="discovery", limit=1)

        def look(server_id: ServerId) -> None:
            work.submit(server_id, repeat=True)

        agenda.set(self.entry.server.id, loop.time())
        sweep, began = Sweep(agenda, look, every=LISTING_SWEEP), loop.time()
        self._plan(self)
        while loop.time() < began + self._seconds:
            await sweep.look()
            await asyncio.sleep(LISTING_SWEEP.total_seconds())
            if self.removed_at is None and any(model.removed for model in self.store.models):
                self.removed_at = loop.time() - began
        return self.lister


def between(times: list[float], begin: float, end: float) -> list[float]:
    """Return those of some times that lie in a span."""
    return [at for at in times if begin <= at < end]


def test_a_quiet_server_is_listed_and_looked_at_once_a_minute_and_no_more() -> None:
    quiet = Day(HOUR).pass_by()
    assert 54 <= len(quiet.listed) <= 67
    assert len(quiet.looked) == len(quiet.listed)


def test_a_busy_server_whose_model_stays_is_looked_at_no_more_often() -> None:
    def plan(day: Day) -> None:
        day.lister.load(IN_MEMORY)
        for number in range(int(HOUR)):
            until = datetime.fromtimestamp(EPOCH + clock.BEGINNING + number, UTC) + timedelta(minutes=5)
            day.lister.will(number, partial(day.lister.load, replace(IN_MEMORY, expires_at=until)))

    busy = Day(HOUR, plan).pass_by()
    assert len(busy.looked) == len(busy.listed)


def test_a_model_that_is_deleted_is_gone_after_a_minute_and_a_bit() -> None:
    def plan(day: Day) -> None:
        day.lister.will(100.0, lambda: setattr(day.lister, "models", (TINY,)))

    day = Day(300.0, plan)
    asked = day.pass_by()
    assert day.removed_at is not None
    assert day.removed_at <= 100 + 66 + 11 + 2
    first, second = between(asked.listed, 100.0, day.removed_at + 0.1)
    assert 9 <= second - first <= 12


def test_while_a_model_loads_and_leaves_the_memory_is_looked_at_every_ten_seconds() -> None:
    parts = [replace(IN_MEMORY, size_vram=share) for share in range(1, 7)]

    def plan(day: Day) -> None:
        for number, part in enumerate(parts):
            day.lister.will(200.0 + 8 * number, partial(day.lister.load, part))

    asked = Day(HOUR, plan).pass_by()
    found = next(at for at in asked.looked if at >= 200.0)
    soon = between(asked.looked, found, 248.0)
    assert all(later - earlier <= 11 for earlier, later in itertools.pairwise(soon))
    assert len(asked.looked) - len(asked.listed) <= 7
    assert len(between(asked.looked, 400.0, HOUR)) == len(between(asked.listed, 400.0, HOUR))


def test_a_model_that_leaves_in_time_is_known_to_be_gone_within_seconds_of_it() -> None:
    end = 230.0
    until = datetime.fromtimestamp(EPOCH + clock.BEGINNING + end, UTC)

    def plan(day: Day) -> None:
        day.lister.load(replace(IN_MEMORY, expires_at=until))
        day.lister.will(end, day.lister.load)

    asked = Day(HOUR, plan).pass_by()
    assert between(asked.looked, end, end + 11.0)
    assert len(asked.looked) - len(asked.listed) <= 3
