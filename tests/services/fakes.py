"""The ports to the database, in memory: it can be away, and it knows whose lease it is."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.domain.availability import Availability
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import Announcement, Event, EventType
from monitor.domain.fleet import Watched
from monitor.domain.history import HOUR, Page
from monitor.domain.lease import Lease
from monitor.domain.record import ServerRecord, Written
from monitor.domain.server import ServerId
from tests.services.told import open_gate


class MemoryDatabase:
    """Who holds the lease, which servers there are, and the events; every port asks it whether it is there."""

    def __init__(self) -> None:
        self.away = False
        self.lease: Lease | None = None
        self.epoch = 0
        self.lease_is_over = False
        self.announced: list[str] = []
        self.servers: dict[ServerId, Watched] = {}
        self.events: list[Event] = []

    def reach(self) -> None:
        """Raise if the database is away."""
        if self.away:
            raise DatabaseUnavailableError("The database is away; it is tried again.")

    def is_wanted(self, server_id: ServerId, row_version: int) -> bool:
        """Whether what was found of a server is still about it."""
        watched = self.servers.get(server_id)
        return watched is not None and watched.server.row_version == row_version

    def emit(self, type_: EventType, server_id: ServerId) -> None:
        """Append an event to the log."""
        seq = self.events[-1].seq + 1 if self.events else 1
        now = datetime.now(UTC)
        self.events.append(Event(seq=seq, type=type_, server_id=server_id, model_id=None, at=now, body={}))

    def save(self, watched: Watched) -> None:
        """Create or edit a server."""
        new = watched.server.id not in self.servers
        self.servers[watched.server.id] = watched
        self.emit(EventType.SERVER_CREATED if new else EventType.SERVER_UPDATED, watched.server.id)

    def delete(self, server_id: ServerId) -> None:
        """Delete a server, or make it inactive: the monitor is told of active ones only."""
        del self.servers[server_id]
        self.emit(EventType.SERVER_DELETED, server_id)


class MemoryLeases:
    """Implements `ports.LeaseStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._owner = uuid.uuid4()
        self.asked = 0

    async def take(self, _ttl: timedelta, /) -> Lease | None:
        """Take the lease if nobody has it, or its time is over."""
        self.asked += 1
        self._database.reach()
        if self._database.lease is not None and not self._database.lease_is_over:
            return None
        self._database.epoch += 1
        self._database.lease_is_over = False
        self._database.lease = Lease(shard=0, owner=self._owner, epoch=self._database.epoch)
        return self._database.lease

    async def renew(self, lease: Lease, _ttl: timedelta, /) -> bool:
        """Whether the lease is still this one; if so, its time begins anew."""
        self.asked += 1
        self._database.reach()
        if self._database.lease != lease:
            return False
        self._database.lease_is_over = False
        return True

    async def give_up(self, lease: Lease, /) -> None:
        """Free the lease."""
        self._database.reach()
        if self._database.lease == lease:
            self._database.lease = None


class MemoryServers:
    """Implements `ports.ServerStore` and `ports.ResultStore`."""

    def __init__(self, database: MemoryDatabase, lease: Lease | None = None) -> None:
        """Made for the lease that the database has now, unless told of another one."""
        self._database = database
        self._lease = lease or database.lease
        self.snapshots = 0
        self.batches: list[list[ServerRecord]] = []
        self.poisoned: set[ServerId] = set()
        self.locked: set[ServerId] = set()
        self.gate = open_gate()

    @property
    def written(self) -> dict[ServerId, ServerRecord]:
        """The newest record of each server."""
        return {record.server_id: record for batch in self.batches for record in batch}

    async def snapshot(self) -> tuple[list[Watched], int]:
        """Return copies of all servers, and the number of the last event."""
        self._database.reach()
        self.snapshots += 1
        seq = self._database.events[-1].seq if self._database.events else 0
        return [replace(watched) for watched in self._database.servers.values()], seq

    async def read(self, server_ids: Sequence[ServerId], /) -> list[Watched]:
        """Return copies of those servers that are there."""
        self._database.reach()
        return [replace(self._database.servers[each]) for each in server_ids if each in self._database.servers]

    async def changes_after(self, seq: int, /, *, limit: int) -> tuple[list[Event], list[ServerId]]:
        """Return the events after a number, and who waits for an answer."""
        self._database.reach()
        events = [event for event in self._database.events if event.seq > seq][:limit]
        servers = self._database.servers.values()
        waiting = [each.server.id for each in servers if each.check_requested_at or each.discovery_requested_at]
        return events, waiting

    async def write(self, records: Sequence[ServerRecord], /) -> Written:
        """Keep the records if the lease still holds; a poisoned one spoils its batch."""
        await self.gate.wait()
        self._database.reach()
        if any(record.server_id in self.poisoned for record in records):
            raise ValueError("a record that the database does not take")
        if self._database.lease != self._lease:
            return Written()
        wanted = [record for record in records if self._database.is_wanted(record.server_id, record.row_version)]
        locked = self.locked & {record.server_id for record in wanted}
        wanted = [record for record in wanted if record.server_id not in locked]
        for record in wanted:
            self._believe(record)
        if wanted:
            self.batches.append(wanted)
        return Written(len(wanted), frozenset(locked), "pid 1, psql" if locked else None)

    def _believe(self, record: ServerRecord) -> None:
        watched = self._database.servers[record.server_id]
        verdict = Availability(status=record.status, reason=record.reason, detail=record.detail)
        asked = watched.check_requested_at
        is_answered = record.answered_at is not None and (asked is None or record.answered_at >= asked)
        self._database.servers[record.server_id] = replace(
            watched, availability=verdict, check_requested_at=None if is_answered else asked
        )


class MemoryEvents:
    """Implements `ports.EventLog`: a number of old events."""

    def __init__(self, database: MemoryDatabase, *, old: int) -> None:
        self._database = database
        self.old = old
        self.held = old
        self.steps_of_size: list[int] = []
        self.steps: list[int] = []

    async def delete_older(self, _age: timedelta, /, *, limit: int) -> int:
        """Delete some of the old events."""
        self._database.reach()
        step = min(limit, self.old)
        self.old -= step
        self.held -= step
        self.steps.append(step)
        return step

    async def delete_beyond(self, most_bytes: int, /, *, limit: int) -> int:
        """Delete some of those that are too many, at a byte each."""
        self._database.reach()
        step = min(limit, max(0, self.held - most_bytes))
        self.held -= step
        self.old = min(self.old, self.held)
        self.steps_of_size.append(step)
        return step


class MemoryAnnouncements:
    """Implements `ports.AnnouncementStore`: keeps what is said, in words, and says nothing twice."""

    def __init__(self, database: MemoryDatabase, lease: Lease | None = None) -> None:
        """Made for the lease that the database has now, unless told of another one."""
        self._database = database
        self._lease = lease or database.lease
        self.refuses = False
        self.left_open = False
        self.gate = open_gate()

    @property
    def log(self) -> list[str]:
        """All that was said."""
        return self._database.announced

    async def announce(self, announcement: Announcement, /) -> bool:
        """Keep what is said if the lease still holds."""
        await self.gate.wait()
        self._database.reach()
        if self.refuses:
            raise ValueError("no right to say so")
        if self._database.lease != self._lease:
            return False
        kind = announcement.type.value.removeprefix("monitor.")
        if not self.log or not self.log[-1].startswith(kind):
            self.log.append(f"{kind} {announcement.since:g}")
        return True

    async def close_open(self) -> None:
        """Say that what was left open is over."""
        self._database.reach()
        is_open = self.left_open or (self.log and self.log[-1].startswith("isolated"))
        if is_open and self._database.lease == self._lease:
            self.log.append("recovered, inherited")
            self.left_open = False


class MemoryHistory:
    """Implements `ports.HistoryStore`: keeps what is written, and tells the time that a test says it is."""

    def __init__(self, database: MemoryDatabase, lease: Lease | None = None) -> None:
        """Made for the lease that the database has now, unless told of another one."""
        self._database = database
        self._lease = lease or database.lease
        # In the middle of five minutes, so that no test comes upon their end.
        self.ahead = 1_800_000_150 - time.monotonic()
        self.written: list[Page] = []
        self.batches: list[int] = []
        self.due: dict[int, list[ServerId]] = {}
        self.steps: list[tuple[int, int]] = []
        self.expired = 0
        self.is_broken = False

    async def clock(self) -> float:
        """Return the time."""
        self._database.reach()
        return time.monotonic() + self.ahead

    async def write(self, pages: Sequence[Page], /) -> float:
        """Keep the pages if the lease still holds."""
        self._database.reach()
        if self._database.lease == self._lease:
            self.written += pages
            self.batches.append(len(pages))
        return await self.clock()

    async def roll_up(self, span: int, /, *, before: int, after: ServerId | None, limit: int) -> list[ServerId]:
        """Take out those that are due."""
        self._database.reach()
        if self._database.lease != self._lease:
            return []
        self.steps.append((span, before))
        if self.is_broken:
            raise IndexError("a page that is cut off")
        pages = {page.server_id for page in self.written if span == HOUR and page.start < before}
        due = [each for each in sorted({*self.due.get(span, []), *pages}) if after is None or each > after]
        return due[:limit]

    async def delete_older(self, _age: timedelta, /) -> None:
        """Count how often that is asked."""
        self._database.reach()
        self.expired += 1
