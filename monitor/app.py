"""The daemon put together: the only place that knows services, HTTP and PostgreSQL at once.

Start: database → schema → listener → lease → what works under it (`lease_scope`). Stop: the work under the lease
ends in order → the lease is given up → the listener and the sessions close.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from functools import partial

import structlog

from monitor import database_gate, lifecycle, systemd, watchdog
from monitor.credentials.vault import Vault
from monitor.domain.counters import Counters
from monitor.domain.event import MODEL_CHANNEL, REQUEST_CHANNEL, SERVER_CHANNEL
from monitor.domain.lease import Lease
from monitor.lease_scope import LeaseScope, Network, Stores
from monitor.ollama.client import OllamaClient
from monitor.ollama.lister import HttpLister
from monitor.ollama.prober import HttpProber
from monitor.ollama.tls import Contexts, TlsFiles
from monitor.ollama.watch import IdleConnections, most_connections
from monitor.postgres.database import Database
from monitor.postgres.event_log import PostgresAnnouncementStore, PostgresEventLog
from monitor.postgres.history_store import PostgresHistoryStore
from monitor.postgres.inventory_store import PostgresInventoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from monitor.postgres.listener import Listener
from monitor.postgres.result_store import PostgresResultStore
from monitor.postgres.server_store import PostgresServerStore
from monitor.services.lease_keeper import LeaseKeeper
from monitor.settings import Settings
from monitor.stats import Stats

NAME = "ollama-fleet monitor"
# Seconds, a third of the life of a lease: what waits for a lock must not outlast it.
LOCK_TIMEOUT = 4.0

log = structlog.get_logger(__name__)


class Monitor:
    """What lives as long as the process, wired; `run` is its life."""

    def __init__(self, settings: Settings, *, dsn: str, client: OllamaClient, vault: Vault) -> None:
        self._settings = settings
        self._vault = vault
        pooler = settings.listen_database_url is not None
        self._database = Database(dsn, name=NAME, size=4, behind_pooler=pooler, lock_timeout=LOCK_TIMEOUT)
        # Of its own, so that a thousand listings at once keep no result and no lease waiting.
        # Many wait for their turn there while nothing is wrong.
        self._inventory_database = Database(
            dsn, name=f"{NAME} inventory", size=4, behind_pooler=pooler, patience=None, lock_timeout=LOCK_TIMEOUT
        )
        self._servers = PostgresServerStore(self._database, policy=settings.policy, vault=vault)
        self._network = _network(client)
        self._listener = Listener(
            settings.listen_database_url or dsn,
            name=f"{NAME} listener",
            channels=(SERVER_CHANNEL, MODEL_CHANNEL, REQUEST_CHANNEL),
            wake=self._woken,
            sender=self._database,
        )
        self._scope: LeaseScope | None = None
        self._stats = Stats(counters=Counters(), listener=self._listener, scope=lambda: self._scope)
        leases = PostgresLeaseStore(
            self._database,
            owner=uuid.uuid4(),
            owner_name=f"{socket.gethostname()}:{os.getpid()}",
            stats=self._stats.document,
        )
        self._keeper = LeaseKeeper(leases, work=self._work)

    async def run(self, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Run until `stop` is set; a part that ends by itself raises, with its name."""
        await self._database.open()
        await self._inventory_database.open()
        try:
            async with watchdog.fed_while_waiting():
                await database_gate.wait(self._database, self._vault, stop=stop, ready=ready)
            if not stop.is_set():
                async with lifecycle.running(self._parts(stop)):
                    await self._keeper.run(stop)
                log.info("stopped")
        finally:
            await self._inventory_database.close()
            await self._database.close()

    def _parts(self, stop: asyncio.Event) -> list[lifecycle.Part]:
        """Return all that runs whether the lease is held or not, in the order in which it ends."""
        part = lifecycle.Part
        return [
            part(name="stop_notice", run=partial(_tell_of_the_stop, stop)),
            part(name="listener", run=self._listener.run),
            part(name="watchdog", run=partial(watchdog.feed, self._progress)),
        ]

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        """Check the fleet for as long as the lease is held, and until `stop` is set."""
        stores = self._stores(lease)
        counters = self._stats.counters
        self._scope = LeaseScope(self._settings, network=self._network, stores=stores, counters=counters)
        try:
            await self._scope.run(stop)
        finally:
            self._scope = None

    def _stores(self, lease: Lease) -> Stores:
        return Stores(
            servers=self._servers,
            results=PostgresResultStore(self._database, lease),
            inventory=PostgresInventoryStore(self._inventory_database, lease),
            history=PostgresHistoryStore(self._database, lease),
            announcements=PostgresAnnouncementStore(self._database, lease),
            events=PostgresEventLog(self._database),
        )

    def _woken(self) -> None:
        self._keeper.wake()
        if self._scope is not None:
            self._scope.wake()

    def _progress(self) -> tuple[int, ...]:
        # Standing by, there is nothing to prove but that the event loop moves.
        return () if self._scope is None else self._scope.progress


async def _tell_of_the_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    systemd.notify("STOPPING=1")
    await asyncio.Event().wait()


def _network(client: OllamaClient) -> Network:
    prober = HttpProber(client)
    return Network(
        prober=prober,
        lister=HttpLister(client, spoken=prober.spoken),
        holder=IdleConnections(client.dialer, client.contexts),
        refuses=prober.refuses,
        is_here=client.dialer.is_here,
        looked_up_at=lambda: client.dialer.looked_up_at,
        most_connections=most_connections(),
    )


async def serve(
    settings: Settings, *, dsn: str, stop: asyncio.Event, ready: Callable[[], object], vault: Vault | None = None
) -> None:
    """Run one daemon on the database at `dsn` until `stop` is set; without a `vault` it has one of its own.

    `ready` is called once the database has been asked for the first time, whatever it answered.
    """
    async with OllamaClient(
        allowed_networks=settings.allowed_networks,
        max_list=settings.max_list_bytes,
        tls=Contexts(TlsFiles.of(settings)),
    ) as client:
        monitor = Monitor(settings, dsn=dsn, client=client, vault=vault or Vault.of(settings, makes_ring=False))
        await monitor.run(stop, ready)
