"""The daemon put together: the only place that knows services, HTTP and PostgreSQL at once.

Start: database → schema → lease, fleet, recorder, listener → beats. Stop: no new checks → what is
under way ends or is cut → results are written → the lease is given up → sessions close.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from monitor import database_gate, lifecycle, systemd, watchdog
from monitor.credentials.vault import Vault
from monitor.domain.availability import Availability
from monitor.domain.counters import Counters
from monitor.domain.event import MODEL_CHANNEL, REQUEST_CHANNEL, SERVER_CHANNEL
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.probe import Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from monitor.ollama.watch import IdleConnections, most_connections
from monitor.postgres.announcement_store import PostgresAnnouncementStore
from monitor.postgres.database import Database
from monitor.postgres.event_log import PostgresEventLog
from monitor.postgres.history_store import PostgresHistoryStore
from monitor.postgres.inventory_store import PostgresInventoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from monitor.postgres.listener import Listener
from monitor.postgres.server_store import PostgresServerStore
from monitor.services.announcer import Announcer
from monitor.services.check import Check
from monitor.services.discovery import Discovery
from monitor.services.dispatcher import Dispatcher
from monitor.services.fleet_watch import FleetWatch
from monitor.services.historian import Historian
from monitor.services.history_keeper import HistoryKeeper
from monitor.services.housekeeping import Housekeeping
from monitor.services.lease_keeper import LeaseKeeper
from monitor.services.own_health import OwnHealth
from monitor.services.recorder import BatchRecorder
from monitor.services.scheduler import Beat, Metronome
from monitor.services.sentry import Sentry
from monitor.services.suspicions import Suspicions
from monitor.services.sweep import Sweep
from monitor.settings import Settings
from monitor.stats import Stats

NAME = "ollama-fleet monitor"
CHECK_SWEEP = timedelta(seconds=0.1)
LISTING_SWEEP = timedelta(seconds=0.5)
# With at most 100 a sweep, 200 connections are opened a second, and MOST_CONNECTING at once.
CONNECTION_SWEEP = timedelta(seconds=0.5)
MOST_CONNECTING = 50
HOUSEKEEPING = timedelta(minutes=1)
MOST_LISTINGS = 100
PATIENCE = 3.0

log = structlog.get_logger(__name__)


class Monitor:
    """All parts of one daemon, wired; `run` is its life."""

    def __init__(self, settings: Settings, *, dsn: str, client: OllamaClient, vault: Vault) -> None:
        self._vault = vault
        counters = Counters()
        pooler = settings.listen_database_url is not None
        self._database = Database(dsn, name=NAME, size=4, behind_pooler=pooler)
        # Of its own, so that a thousand listings at once keep no result and no lease waiting.
        self._inventory_database = Database(dsn, name=f"{NAME} inventory", size=4, behind_pooler=pooler)
        leases = PostgresLeaseStore(
            self._database,
            owner=uuid.uuid4(),
            owner_name=f"{socket.gethostname()}:{os.getpid()}",
            stats=self._count,
        )
        servers = PostgresServerStore(self._database, policy=settings.policy, vault=vault)
        fleet, checks, listings = Fleet(), Schedule(), Schedule()
        self._keeper = LeaseKeeper(leases, changed=self._lease_changed)
        history = PostgresHistoryStore(self._database)
        self._historian = Historian(history, fleet=fleet, lease=self._keeper.current, counters=counters)
        self.recorder = BatchRecorder(servers, lease=self._keeper.current, counters=counters, note=self._historian.note)
        self._announcer = Announcer(PostgresAnnouncementStore(self._database), lease=self._keeper.current)
        self._health = OwnHealth(
            fleet=fleet,
            policy=settings.policy,
            ask=self._check_soon,
            publish=self._publish,
            announce=self._announcer.announce,
            counters=counters,
            is_here=client.dialer.is_here,
            looked_up_at=lambda: client.dialer.looked_up_at,
        )
        self._suspicions = Suspicions(fleet=fleet, recorder=self.recorder)
        discovery = Discovery(
            fleet=fleet,
            agenda=listings,
            lister=HttpLister(client),
            store=PostgresInventoryStore(self._inventory_database),
            recorder=self.recorder,
            doubt=self._health,
            lease=self._keeper.current,
            interval=settings.discovery_interval,
        )
        self._discoveries = Dispatcher(discovery, name="discovery", limit=MOST_LISTINGS)
        self._prober = HttpProber(client)
        self.check = Check(
            fleet=fleet,
            agenda=checks,
            prober=self._prober,
            recorder=self.recorder,
            doubt=self._health,
            discover=self._discover_again,
            suspect=self._suspicions.add,
            counters=counters,
        )
        self._checks = Dispatcher(self.check, name="check", limit=settings.max_concurrent_checks)
        self._watch = FleetWatch(
            store=servers,
            fleet=fleet,
            checks=checks,
            listings=listings,
            listing_interval=settings.discovery_interval,
            lease=self._keeper.current,
            check=self._check_again,
            discover=self._discover_again,
        )
        self._sentry = Sentry(
            fleet=fleet,
            holder=IdleConnections(client.dialer),
            recorder=self.recorder,
            wake=self._check_again,
            restart=self._check_anew,
            most=most_connections(),
            on=settings.connection_watch,
            closed=self._connection_closed,
        )
        self._connecting = Dispatcher(self._sentry, name="connection", limit=MOST_CONNECTING)
        housekeeping = Housekeeping(
            PostgresEventLog(self._database), retention=settings.event_retention, lease=self._keeper.current
        )
        keep_history = HistoryKeeper(history, retention=settings.history_retention, lease=self._keeper.current)
        self._sweep = Sweep(checks, self._check_again, every=CHECK_SWEEP, lag=counters.start_lag)
        beats = [
            Beat(name="checks", every=CHECK_SWEEP, act=self._sweep_checks),
            Beat(name="listings", every=LISTING_SWEEP, act=Sweep(listings, self._discover_again, every=LISTING_SWEEP)),
            Beat(name="connections", every=CONNECTION_SWEEP, act=self._sweep_connections),
            Beat(name="housekeeping", every=HOUSEKEEPING, act=housekeeping),
            Beat(name="history", every=HOUSEKEEPING, act=keep_history),
        ]
        self.metronome = Metronome(beats)
        self._listener = Listener(
            settings.listen_database_url or dsn,
            name=f"{NAME} listener",
            channels=(SERVER_CHANNEL, MODEL_CHANNEL, REQUEST_CHANNEL),
            wake=self._woken,
            sender=self._database,
        )
        self._stats = Stats(
            counters=counters,
            checks=self._checks,
            discoveries=self._discoveries,
            recorder=self.recorder,
            health=self._health,
            listener=self._listener,
        )

    def _count(self) -> dict[str, Any]:
        return self._stats.document()

    def _connection_closed(self, watched: Watched) -> None:
        # Of a thousand servers that die at once the last check comes late; this look costs a tenth of one.
        if self._prober.refuses(watched.server):
            self.check.suspect(watched, Reason.REFUSED)

    def _publish(self, watched: Watched, verdict: Availability) -> None:
        self.check.publish(watched, verdict)

    def _check_soon(self, server_id: ServerId) -> None:
        self._checks.submit(server_id)

    def _check_again(self, server_id: ServerId) -> None:
        # Again: what is under way may have begun before whatever this check is wanted for.
        self._checks.submit(server_id, repeat=True)

    def _check_anew(self, server_id: ServerId) -> None:
        self._checks.submit(server_id, restart=True)

    def _discover_again(self, server_id: ServerId) -> None:
        self._discoveries.submit(server_id, repeat=True)

    async def _sweep_checks(self) -> None:
        await self._sweep()
        self._suspicions.sweep()

    async def _sweep_connections(self) -> None:
        for server_id in self._sentry.sweep():
            self._connecting.submit(server_id)

    def _woken(self) -> None:
        self._watch.wake()
        self._keeper.wake()

    def _lease_changed(self) -> None:
        self.recorder.clear()
        self._historian.clear()
        self._announcer.lease_changed()
        self._health.clear()
        self._watch.wake()

    async def run(self, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Run until `stop` is set; a part that ends by itself raises, with its name."""
        await self._database.open()
        await self._inventory_database.open()
        try:
            async with watchdog.fed_while_waiting():
                await database_gate.wait(self._database, self._vault, stop=stop, ready=ready)
            if not stop.is_set():
                await lifecycle.run(self._parts(), stop)
                log.info("stopped")
        finally:
            await self._inventory_database.close()
            await self._database.close()

    def _parts(self) -> list[lifecycle.Part]:
        """Return all that runs, in the order in which it ends."""
        part = lifecycle.Part
        return [
            part(name="metronome", run=self.metronome.run),
            part(name="connections", then=(partial(self._connecting.stop, patience=0), self._sentry.stop)),
            part(name="work", then=(self._finish_work,), limit=PATIENCE + 1),
            part(name="own_health", run=self._health.run),
            part(name="recorder", run=self.recorder.run, then=(self.recorder.flush,)),
            part(name="historian", run=self._historian.run, then=(self._historian.flush,)),
            part(name="announcer", run=self._announcer.run, then=(self._announcer.flush,)),
            part(name="fleet_watch", run=self._watch.run),
            part(name="lease", run=self._keeper.run, then=(self._keeper.give_up,)),
            part(name="listener", run=self._listener.run),
            part(name="watchdog", run=partial(watchdog.feed, self._progress)),
        ]

    async def _finish_work(self) -> None:
        systemd.notify("STOPPING=1")
        log.info("stopping", checks_under_way=self._checks.in_flight)
        await asyncio.gather(self._checks.stop(patience=PATIENCE), self._discoveries.stop(patience=PATIENCE))

    def _progress(self) -> tuple[int, int]:
        return self.metronome.beats, self.recorder.turns


async def serve(
    settings: Settings, *, dsn: str, stop: asyncio.Event, ready: Callable[[], object], vault: Vault | None = None
) -> None:
    """Run one daemon on the database at `dsn` until `stop` is set; without a `vault` it has one of its own.

    `ready` is called once the database has been asked for the first time, whatever it answered.
    """
    async with OllamaClient(allowed_networks=settings.allowed_networks, max_list=settings.max_list_bytes) as client:
        monitor = Monitor(settings, dsn=dsn, client=client, vault=vault or Vault.of(settings, makes_ring=False))
        await monitor.run(stop, ready)
