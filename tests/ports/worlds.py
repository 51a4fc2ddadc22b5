"""Two databases behind the monitor's ports, one in memory and one PostgreSQL, and what others do to them."""

import uuid
from datetime import datetime, timedelta
from typing import Protocol

from monitor.credentials.vault import Vault
from monitor.domain.lease import Lease
from monitor.domain.server import Server
from monitor.ports import (
    AnnouncementStore,
    EventLog,
    HistoryStore,
    InventoryStore,
    LeaseStore,
    ResultStore,
    ServerStore,
)
from monitor.postgres.database import Database
from monitor.postgres.event_log import PostgresAnnouncementStore, PostgresEventLog
from monitor.postgres.history_store import PostgresHistoryStore
from monitor.postgres.inventory_store import PostgresInventoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from monitor.postgres.result_store import PostgresResultStore
from monitor.postgres.server_store import PostgresServerStore
from tests.services.conftest import POLICY, REQUESTED, watched
from tests.services.fakes import (
    MemoryAnnouncements,
    MemoryDatabase,
    MemoryEvents,
    MemoryHistory,
    MemoryLeases,
    MemoryServers,
)
from tests.services.memory_inventory import MemoryInventory

TTL = timedelta(minutes=1)
OLD = timedelta(days=8)
ADD = "INSERT INTO ollama_servers (id, name, url, api_version) VALUES ($1, $2, $3, $4)"
ASK = """
UPDATE ollama_servers SET check_requested_at = clock_timestamp() WHERE id = $1 RETURNING check_requested_at
"""


class World(Protocol):
    """A database with no server and a free lease; servers have numbers."""

    def leases(self) -> LeaseStore:
        """Of one more monitor."""
        ...

    def servers(self) -> ServerStore:
        """As every monitor reads them."""
        ...

    def results(self, lease: Lease, /) -> ResultStore:
        """For a lease."""
        ...

    def inventory(self, lease: Lease, /) -> InventoryStore:
        """For a lease."""
        ...

    def history(self, lease: Lease, /) -> HistoryStore:
        """For a lease."""
        ...

    def announcements(self, lease: Lease, /) -> AnnouncementStore:
        """For a lease."""
        ...

    async def event_log(self, *, old: int) -> EventLog:
        """With so many old events."""
        ...

    async def end_lease(self) -> None:
        """Let the time of the lease be over."""
        ...

    async def add(self, number: int) -> Server:
        """Create a server; one event."""
        ...

    async def edit(self, server: Server) -> None:
        """Edit it; one event."""
        ...

    async def delete(self, server: Server) -> None:
        """Delete it; one event."""
        ...

    async def ask(self, server: Server) -> datetime:
        """Request a check; return the time of the request."""
        ...

    async def said(self) -> list[str]:
        """What monitors said of themselves: isolated, recovered."""
        ...


class MemoryWorld:
    """Implements `World` with the fakes that the tests of services have."""

    def __init__(self) -> None:
        self._database = MemoryDatabase()

    def leases(self) -> LeaseStore:
        """Of one more monitor."""
        return MemoryLeases(self._database)

    def servers(self) -> ServerStore:
        """As every monitor reads them."""
        return MemoryServers(self._database)

    def results(self, lease: Lease, /) -> ResultStore:
        """For a lease."""
        return MemoryServers(self._database, lease)

    def inventory(self, lease: Lease, /) -> InventoryStore:
        """For a lease."""
        return MemoryInventory(self._database, lease)

    def history(self, lease: Lease, /) -> HistoryStore:
        """For a lease."""
        return MemoryHistory(self._database, lease)

    def announcements(self, lease: Lease, /) -> AnnouncementStore:
        """For a lease."""
        return MemoryAnnouncements(self._database, lease)

    async def event_log(self, *, old: int) -> EventLog:
        """With so many old events."""
        return MemoryEvents(self._database, old=old)

    async def end_lease(self) -> None:
        """Let the time of the lease be over."""
        self._database.lease_is_over = True

    async def add(self, number: int) -> Server:
        """Create a server."""
        entry = watched(number)
        self._database.save(entry)
        return entry.server

    async def edit(self, server: Server) -> None:
        """Edit it."""
        self._database.save(watched(int(server.name.removeprefix("gpu-")), row_version=server.row_version + 1))

    async def delete(self, server: Server) -> None:
        """Delete it."""
        self._database.delete(server.id)

    async def ask(self, server: Server) -> datetime:
        """Request a check."""
        self._database.servers[server.id].check_requested_at = REQUESTED
        return REQUESTED

    async def said(self) -> list[str]:
        """What monitors said of themselves."""
        return [line.split()[0].rstrip(",") for line in self._database.announced]


class PostgresWorld:
    """Implements `World` with the real stores."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def _run(self, statement: str, *arguments: object) -> object:
        async with self._database.session() as connection:
            return await connection.fetchval(statement, *arguments)

    def leases(self) -> LeaseStore:
        """Of one more monitor."""
        return PostgresLeaseStore(self._database, owner=uuid.uuid4(), owner_name="the test")

    def servers(self) -> ServerStore:
        """As every monitor reads them."""
        return PostgresServerStore(self._database, policy=POLICY, vault=self._vault)

    def results(self, lease: Lease, /) -> ResultStore:
        """For a lease."""
        return PostgresResultStore(self._database, lease)

    def inventory(self, lease: Lease, /) -> InventoryStore:
        """For a lease."""
        return PostgresInventoryStore(self._database, lease)

    def history(self, lease: Lease, /) -> HistoryStore:
        """For a lease."""
        return PostgresHistoryStore(self._database, lease)

    def announcements(self, lease: Lease, /) -> AnnouncementStore:
        """For a lease."""
        return PostgresAnnouncementStore(self._database, lease)

    async def event_log(self, *, old: int) -> EventLog:
        """With so many old events."""
        for number in range(old):
            await self.add(number)
        await self._run("UPDATE fleet_events SET at = at - $1::interval", OLD)
        return PostgresEventLog(self._database)

    async def end_lease(self) -> None:
        """Let the time of the lease be over."""
        await self._run("UPDATE monitor_leases SET expires_at = clock_timestamp() - interval '1 ms'")

    async def add(self, number: int) -> Server:
        """Create a server."""
        made = watched(number).server
        await self._run(ADD, made.id, made.name, made.url, made.api_version)
        return made

    async def edit(self, server: Server) -> None:
        """Edit it."""
        await self._run("UPDATE ollama_servers SET priority = priority + 1 WHERE id = $1", server.id)

    async def delete(self, server: Server) -> None:
        """Delete it."""
        await self._run("DELETE FROM ollama_servers WHERE id = $1", server.id)

    async def ask(self, server: Server) -> datetime:
        """Request a check."""
        asked = await self._run(ASK, server.id)
        assert isinstance(asked, datetime)
        return asked

    async def said(self) -> list[str]:
        """What monitors said of themselves."""
        said = await self._run(
            "SELECT array_agg(substr(type, 9) ORDER BY seq) FROM fleet_events WHERE type LIKE 'monitor.%'"
        )
        assert said is None or isinstance(said, list)
        return said or []
