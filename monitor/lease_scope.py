"""The parts that live as long as the right to check the fleet: made when it is won, gone when it is lost.

None of them knows of the lease. The stores they write to are made for it, and the database refuses what comes late.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from monitor import lifecycle
from monitor.domain.availability import Availability
from monitor.domain.counters import Counters
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.probe import Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import Server, ServerId
from monitor.ports import (
    AnnouncementStore,
    EventLog,
    HistoryStore,
    Holder,
    InventoryStore,
    Lister,
    Prober,
    ResultStore,
    ServerStore,
)
from monitor.services.announcer import Announcer
from monitor.services.check import Check
from monitor.services.discovery import Discovery
from monitor.services.dispatcher import Dispatcher
from monitor.services.fleet_sync import FleetSync
from monitor.services.historian import Historian
from monitor.services.history_keeper import HistoryKeeper
from monitor.services.housekeeping import Housekeeping
from monitor.services.own_health import OwnHealth
from monitor.services.recorder import BatchRecorder
from monitor.services.scheduler import Beat, Metronome
from monitor.services.sentry import Sentry
from monitor.services.suspicions import Suspicions
from monitor.services.sweep import Sweep
from monitor.settings import Settings

CHECK_SWEEP = timedelta(seconds=0.1)
LISTING_SWEEP = timedelta(seconds=0.5)
# With at most 100 a sweep, 200 connections are opened a second, and MOST_CONNECTING at once.
CONNECTION_SWEEP = timedelta(seconds=0.5)
MOST_CONNECTING = 50
HOUSEKEEPING = timedelta(minutes=1)
MOST_LISTINGS = 100
PATIENCE = 3.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the parts reach servers, and what is known here of the way there; it outlives a lease.

    `refuses` tells whether a server refuses a connection this very moment, `is_here` of a host whether it is this
    machine, `looked_up_at` when a look-up of a name last succeeded; `most_connections` may be held.
    """

    prober: Prober
    lister: Lister
    holder: Holder
    refuses: Callable[[Server], bool]
    is_here: Callable[[str], bool]
    looked_up_at: Callable[[], float]
    most_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where the parts read and write; made for one lease."""

    servers: ServerStore
    results: ResultStore
    inventory: InventoryStore
    history: HistoryStore
    announcements: AnnouncementStore
    events: EventLog


class LeaseScope:
    """The parts that work under one lease, wired; `run` is their life."""

    def __init__(self, settings: Settings, *, network: Network, stores: Stores, counters: Counters) -> None:
        fleet, checks, listings = Fleet(), Schedule(), Schedule()
        self._historian = Historian(stores.history, fleet=fleet, counters=counters)
        self.recorder = BatchRecorder(stores.results, counters=counters, note=self._historian.note)
        self._announcer = Announcer(stores.announcements)
        self.health = OwnHealth(
            fleet=fleet,
            policy=settings.policy,
            ask=self._check_soon,
            publish=self._publish,
            announce=self._announcer.announce,
            counters=counters,
            is_here=network.is_here,
            looked_up_at=network.looked_up_at,
        )
        self._suspicions = Suspicions(fleet=fleet, recorder=self.recorder)
        self._discovery = Discovery(
            fleet=fleet,
            agenda=listings,
            lister=network.lister,
            prober=network.prober,
            store=stores.inventory,
            recorder=self.recorder,
            doubt=self.health,
            interval=settings.discovery_interval,
        )
        self.discoveries = Dispatcher(self._discovery.run, name="discovery", limit=MOST_LISTINGS)
        self._refuses = network.refuses
        self._check = Check(
            fleet=fleet,
            agenda=checks,
            prober=network.prober,
            recorder=self.recorder,
            doubt=self.health,
            discover=self._discover_again,
            suspect=self._suspicions.add,
            counters=counters,
            gone=self._discovery.gone,
        )
        self.checks = Dispatcher(self._check.run, name="check", limit=settings.max_concurrent_checks)
        self._sync = FleetSync(
            store=stores.servers,
            fleet=fleet,
            checks=checks,
            listings=listings,
            listing_interval=settings.discovery_interval,
            check=self._check_again,
            discover=self._discover_again,
        )
        self._sentry = Sentry(
            fleet=fleet,
            holder=network.holder,
            recorder=self.recorder,
            wake=self._check_again,
            restart=self._check_anew,
            most=network.most_connections,
            on=settings.connection_watch,
            refuses=self._connection_refused,
            look=self._look_again,
        )
        self._connecting = Dispatcher(self._sentry.connect, name="connection", limit=MOST_CONNECTING)
        self._check_sweep = Sweep(checks, self._check_again, every=CHECK_SWEEP, lag=counters.start_lag)
        self._listing_sweep = Sweep(listings, self._look_again, every=LISTING_SWEEP)
        housekeeping = Housekeeping(
            stores.events, retention=settings.event_retention, most_bytes=settings.event_retention_bytes
        )
        history_keeper = HistoryKeeper(stores.history, retention=settings.history_retention)
        self._metronome = Metronome(
            [
                Beat(name="checks", every=CHECK_SWEEP, act=self._sweep_checks),
                Beat(name="listings", every=LISTING_SWEEP, act=self._listing_sweep.look),
                Beat(name="connections", every=CONNECTION_SWEEP, act=self._sweep_connections),
                Beat(name="housekeeping", every=HOUSEKEEPING, act=housekeeping.delete_old),
                Beat(name="history", every=HOUSEKEEPING, act=history_keeper.roll_up),
            ]
        )

    def wake(self) -> None:
        """Look soon what has changed in the database."""
        self._sync.wake()

    @property
    def progress(self) -> tuple[int, int]:
        """How far the parts have come that must never stand still."""
        return self._metronome.beats, self.recorder.turns

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and then end in order: what is under way may finish, and is written.

        When it is cancelled, all is dropped at once; a part that ends by itself raises, with its name.
        """
        try:
            async with lifecycle.running(self._parts()):
                await stop.wait()
        finally:
            await self._drop_all()

    def _parts(self) -> list[lifecycle.Part]:
        """Return all that runs, in the order in which it ends."""
        part = lifecycle.Part
        return [
            part(name="metronome", run=self._metronome.run),
            part(name="connections", then=(partial(self._connecting.stop, patience=0), self._sentry.stop)),
            part(name="work", then=(self._finish_work,), limit=PATIENCE + 1),
            part(name="own_health", run=self.health.run),
            part(name="recorder", run=self.recorder.run, then=(self.recorder.flush,)),
            part(name="historian", run=self._historian.run, then=(self._historian.flush,)),
            part(name="announcer", run=self._announcer.run, then=(self._announcer.flush,)),
            part(name="fleet_sync", run=self._sync.run),
        ]

    async def _finish_work(self) -> None:
        log.info("stopping", checks_under_way=self.checks.in_flight)
        await asyncio.gather(self.checks.stop(patience=PATIENCE), self.discoveries.stop(patience=PATIENCE))

    async def _drop_all(self) -> None:
        self._check_sweep.stop()
        self._listing_sweep.stop()
        await asyncio.gather(*(each.stop(patience=0) for each in (self.checks, self.discoveries, self._connecting)))
        await self._sentry.stop()

    async def _sweep_checks(self) -> None:
        await self._check_sweep.look()
        self._suspicions.sweep()

    async def _sweep_connections(self) -> None:
        for server_id in self._sentry.sweep():
            self._connecting.submit(server_id)

    def _connection_refused(self, watched: Watched) -> bool:
        # Of a thousand servers that die at once the last check comes late; this look costs a tenth of one.
        refuses = self._refuses(watched.server)
        if refuses:
            self._check.suspect(watched, Reason.REFUSED)
        return refuses

    def _publish(self, watched: Watched, verdict: Availability) -> None:
        self._check.publish(watched, verdict)

    def _check_soon(self, server_id: ServerId) -> None:
        self.checks.submit(server_id)

    def _check_again(self, server_id: ServerId) -> None:
        # Again: what is under way may have begun before whatever this check is wanted for.
        self.checks.submit(server_id, repeat=True)

    def _check_anew(self, server_id: ServerId) -> None:
        self.checks.submit(server_id, restart=True)

    def _discover_again(self, server_id: ServerId) -> None:
        self._discovery.want(server_id)
        self._look_again(server_id)

    def _look_again(self, server_id: ServerId) -> None:
        self.discoveries.submit(server_id, repeat=True)
