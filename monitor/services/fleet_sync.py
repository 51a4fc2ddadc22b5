"""Keeps the fleet in memory equal to the one in the database: reads a snapshot, then follows the events."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from monitor.domain import schedule
from monitor.domain.availability import Status
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import Event, EventType
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.ports import ServerStore

PAGE = 1000
# Between two looks. When many servers die our own verdicts wake us again and again, and they have to be written first.
REST = 0.03
EDITS = frozenset({EventType.SERVER_CREATED, EventType.SERVER_UPDATED, EventType.SERVER_DELETED})

log = structlog.get_logger(__name__)


class FleetSync:
    """Reads all servers once, then what changes; how many it misses while the database is away does not matter."""

    def __init__(
        self,
        *,
        store: ServerStore,
        fleet: Fleet,
        checks: Schedule,
        listings: Schedule,
        listing_interval: timedelta,
        check: Callable[[ServerId], None],
        discover: Callable[[ServerId], None],
        rest: float = REST,
    ) -> None:
        """`check` and `discover` start work on a server again even if some is under way; `rest` is seconds."""
        self._store = store
        self._fleet = fleet
        self._checks = checks
        self._listings = listings
        self._listing_interval = listing_interval
        self._check = check
        self._discover = discover
        self._rest = rest
        self._wake = asyncio.Event()
        self._wake.set()
        # The number of the last event that the fleet in memory shows; None before it was read.
        self._cursor: int | None = None

    def wake(self) -> None:
        """Look soon: something may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Read, then follow until cancelled; whoever wakes us does so every few seconds even without news."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._turn()
            except DatabaseUnavailableError as error:
                log.debug("fleet_not_read", error=str(error))
            await asyncio.sleep(self._rest)

    async def _turn(self) -> None:
        if self._cursor is None:
            self._cursor = await self._read_all()
        await self._follow(self._cursor)

    async def _read_all(self) -> int:
        servers, seq = await self._store.snapshot()
        present = {fresh.server.id for fresh in servers}
        for watched in self._fleet:
            # A model may have been deleted by an event that we did not see.
            watched.known_list = None
            if watched.server.id not in present:
                self._forget(watched.server.id)
        for fresh in servers:
            self._take_over(fresh)
        log.info("fleet_read", servers=len(self._fleet), seq=seq)
        return seq

    async def _follow(self, cursor: int) -> None:
        while True:
            events, requested = await self._store.changes_after(cursor, limit=PAGE)
            if events and events[0].seq != cursor + 1:
                log.warning("events_missed", expected=cursor + 1, found=events[0].seq)
                self._cursor = cursor = await self._read_all()
                continue
            await self._apply(events, requested)
            if events:
                self._cursor = cursor = events[-1].seq
            if len(events) < PAGE:
                return

    async def _apply(self, events: list[Event], requested: Iterable[ServerId]) -> None:
        touched = {ServerId(event.server_id) for event in events if event.type in EDITS and event.server_id}
        for event in events:
            if event.type is EventType.MODEL_REMOVED and event.server_id is not None:
                self._forget_list(ServerId(event.server_id))
        wanted = touched | set(requested)
        if wanted:
            fresh = {watched.server.id: watched for watched in await self._store.read(sorted(wanted))}
            for server_id in wanted:
                if server_id in fresh:
                    self._take_over(fresh[server_id])
                else:
                    self._forget(server_id)

    def _take_over(self, fresh: Watched) -> None:
        server_id = fresh.server.id
        current = self._fleet.get(server_id)
        now = time.monotonic()
        if current is None or current.server != fresh.server:
            # After a restart the checks are spread; a new or edited server is checked now.
            first = current is None and fresh.availability.status is not Status.UNKNOWN
            self._fleet.put(fresh)
            self._checks.set(server_id, now + schedule.phase(server_id, fresh.server.policy.interval) * first)
            self._listings.set(server_id, now + schedule.phase(server_id, self._listing_interval))
            if fresh.check_requested_at is not None:
                self._check(server_id)
            if fresh.discovery_requested_at is not None:
                self._discover(server_id)
            return
        if fresh.check_requested_at not in {None, current.check_requested_at}:
            current.check_requested_at = fresh.check_requested_at
            self._check(server_id)
        if fresh.discovery_requested_at not in {None, current.discovery_requested_at}:
            current.discovery_requested_at = fresh.discovery_requested_at
            self._discover(server_id)

    def _forget(self, server_id: ServerId) -> None:
        self._fleet.remove(server_id)
        self._checks.remove(server_id)
        self._listings.remove(server_id)

    def _forget_list(self, server_id: ServerId) -> None:
        watched = self._fleet.get(server_id)
        if watched is not None:
            watched.known_list = None
