"""The daemon put together: the only place that knows services, HTTP and PostgreSQL at once.

Start: database → schema → lease, fleet, recorder, listener → beats. Stop: no new checks → what is
under way ends or is cut → results are written → the lease is given up → sessions close.
"""

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog

from monitor import lifecycle, systemd, watchdog
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import MODEL_CHANNEL, REQUEST_CHANNEL, SERVER_CHANNEL
from monitor.domain.fleet import Fleet
from monitor.domain.schedule import Schedule
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from monitor.postgres import schema_version
from monitor.postgres.database import Database
from monitor.postgres.event_log import PostgresEventLog
from monitor.postgres.inventory_store import PostgresInventoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from monitor.postgres.listener import Listener
from monitor.postgres.server_store import PostgresServerStore
from monitor.services.check import Check
from monitor.services.discovery import Discovery
from monitor.services.dispatcher import Dispatcher
from monitor.services.fleet_watch import FleetWatch
from monitor.services.housekeeping import Housekeeping
from monitor.services.lease_keeper import LeaseKeeper
from monitor.services.recorder import BatchRecorder
from monitor.services.scheduler import Beat, Metronome
from monitor.settings import Settings

NAME = "ollama-fleet monitor"
CHECK_SWEEP = timedelta(seconds=0.1)
LISTING_SWEEP = timedelta(seconds=0.5)
HOUSEKEEPING = timedelta(minutes=1)
MOST_LISTINGS = 100
PATIENCE = 3.0
SCHEMA_RETRY = 1.0

log = structlog.get_logger(__name__)


class Monitor:
    """All parts of one daemon, wired; `run` is its life."""

    def __init__(self, settings: Settings, *, dsn: str, client: OllamaClient) -> None:
        pooler = settings.listen_database_url is not None
        self._database = Database(dsn, name=NAME, size=4, behind_pooler=pooler)
        # Of its own, so that a thousand listings at once keep no result and no lease waiting.
        self._inventory_database = Database(dsn, name=f"{NAME} inventory", size=4, behind_pooler=pooler)
        leases = PostgresLeaseStore(
            self._database, owner=uuid.uuid4(), owner_name=f"{socket.gethostname()}:{os.getpid()}"
        )
        servers = PostgresServerStore(self._database, policy=settings.policy)
        fleet, checks, listings = Fleet(), Schedule(), Schedule()
        self._keeper = LeaseKeeper(leases, changed=self._lease_changed)
        self.recorder = BatchRecorder(servers, lease=self._keeper.current)
        discovery = Discovery(
            fleet=fleet,
            agenda=listings,
            lister=HttpLister(client),
            store=PostgresInventoryStore(self._inventory_database),
            recorder=self.recorder,
            lease=self._keeper.current,
            interval=settings.discovery_interval,
        )
        self._discoveries = Dispatcher(discovery, name="discovery", limit=MOST_LISTINGS)
        self.check = Check(
            fleet=fleet,
            agenda=checks,
            prober=HttpProber(client),
            recorder=self.recorder,
            discover=self._discoveries.submit,
        )
        self._checks = Dispatcher(self.check, name="check", limit=settings.max_concurrent_checks)
        self._watch = FleetWatch(
            store=servers,
            fleet=fleet,
            checks=checks,
            listings=listings,
            listing_interval=settings.discovery_interval,
            lease=self._keeper.current,
            check=lambda server_id: self._checks.submit(server_id, repeat=True),
            discover=lambda server_id: self._discoveries.submit(server_id, repeat=True),
        )
        housekeeping = Housekeeping(
            PostgresEventLog(self._database), retention=settings.event_retention, lease=self._keeper.current
        )
        self.metronome = Metronome(
            [
                Beat(name="checks", every=CHECK_SWEEP, act=_sweep(checks, self._checks)),
                Beat(name="listings", every=LISTING_SWEEP, act=_sweep(listings, self._discoveries)),
                Beat(name="housekeeping", every=HOUSEKEEPING, act=housekeeping),
            ]
        )
        self._listener = Listener(
            settings.listen_database_url or dsn,
            name=f"{NAME} listener",
            channels=(SERVER_CHANNEL, MODEL_CHANNEL, REQUEST_CHANNEL),
            wake=self._woken,
        )

    def _woken(self) -> None:
        self._watch.wake()
        self._keeper.wake()

    def _lease_changed(self) -> None:
        self.recorder.clear()
        self._watch.wake()

    async def run(self, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Run until `stop` is set; a part that ends by itself raises, with its name."""
        await self._database.open()
        await self._inventory_database.open()
        try:
            await self._wait_for_schema(stop, ready)
            if not stop.is_set():
                await self._run_parts(stop)
        finally:
            await self._inventory_database.close()
            await self._database.close()

    async def _wait_for_schema(self, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Check the schema; with the database away the process counts as ready and keeps trying."""
        away = False
        while not stop.is_set():
            try:
                async with self._database.session() as connection:
                    await schema_version.verify(connection)
            except DatabaseUnavailableError as error:
                if not away:
                    log.warning("database_away", error=str(error))
                    ready()
                away = True
            else:
                if not away:
                    ready()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCHEMA_RETRY):
                    await stop.wait()

    async def _run_parts(self, stop: asyncio.Event) -> None:
        parts: dict[str, Coroutine[Any, Any, None]] = {
            "metronome": self.metronome.run(),
            "recorder": self.recorder.run(),
            "fleet_watch": self._watch.run(),
            "lease_keeper": self._keeper.run(),
            "listener": self._listener.run(),
            "watchdog": watchdog.feed(lambda: (self.metronome.beats, self.recorder.turns)),
        }
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(lifecycle.endless(name, part), name=name) for name, part in parts.items()}
            await stop.wait()
            systemd.notify("STOPPING=1")
            log.info("stopping", checks_under_way=self._checks.in_flight)
            await lifecycle.end("metronome", lifecycle.cancel(tasks["metronome"]))
            await lifecycle.end(
                "work",
                self._checks.stop(patience=PATIENCE),
                self._discoveries.stop(patience=PATIENCE),
                limit=PATIENCE + 2,
            )
            await lifecycle.end("recorder", lifecycle.cancel(tasks["recorder"]), self.recorder.flush())
            await lifecycle.end("fleet_watch", lifecycle.cancel(tasks["fleet_watch"]))
            await lifecycle.end("lease", lifecycle.cancel(tasks["lease_keeper"]), self._keeper.give_up())
            await lifecycle.end("listener", lifecycle.cancel(tasks["listener"]))
            await lifecycle.end("watchdog", lifecycle.cancel(tasks["watchdog"]))
        log.info("stopped")


async def serve(settings: Settings, *, dsn: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
    """Run one daemon on the database at `dsn` until `stop` is set.

    `ready` is called once the database has been asked for the first time, whatever it answered.
    """
    async with OllamaClient(allowed_networks=settings.allowed_networks) as client:
        await Monitor(settings, dsn=dsn, client=client).run(stop, ready)


def _sweep(agenda: Schedule, dispatcher: Dispatcher) -> Callable[[], Awaitable[None]]:
    async def sweep() -> None:
        # repeat: an entry that is due while its server is still being checked is about an edit.
        for server_id, _ in agenda.due(time.monotonic()):
            dispatcher.submit(server_id, repeat=True)

    return sweep
