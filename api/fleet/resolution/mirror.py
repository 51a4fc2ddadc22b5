"""The fleet in the memory of this process: read once, then kept true by the events that the fan-out reads anyway.

Invariant: `now().fleet` is the fleet after event `seq`, of one generation of the log. What cannot be folded (a
gap, a log that was replaced, an event of another shape) has the whole fleet read anew; until then the last one
stands. With the database away it goes on answering, and says how old it is. Which servers are suspect is read from
their table whenever that has changed: events tell only of what lasts.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from api.fleet.queries import whole_fleet
from api.fleet.queries.events import Extract
from api.fleet.queries.whole_fleet import FleetUnreadableError
from api.fleet.refusals import Next, Refused
from monitor.domain import folding
from monitor.domain.directory import Directory
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import Event
from monitor.domain.folding import UnfoldableError
from monitor.postgres.database import Database

# The times of the checks, and those of models in memory, make no events, so they are read every few seconds.
TIMES_SECONDS = 5.0
# The log is looked at every 5 s even without a hint, so one that was read is younger than this.
STALE_SECONDS = 8.0
RETRY_AFTER_SECONDS = 1.0
UNREADABLE_SECONDS = 30.0
# Between two looks at which servers are suspect: the first one after a hint is taken at once.
SUSPICIONS_REST_SECONDS = 0.02
SUSPICIONS_SECONDS = 5.0
# How long a request waits for the first reading, right after the start.
PATIENCE_SECONDS = 2.0
# Events that come while the fleet is read; more of them, and it is read once more.
MOST_WAITING = 20_000

log = structlog.get_logger(__name__)


class Snapshot(NamedTuple):
    """The fleet after event `seq`; `age_seconds` since that was last known to be the newest one.

    `at` is the time by the clock of the database, in seconds since 1970.
    """

    fleet: Directory
    seq: int
    age_seconds: float
    is_stale: bool
    at: float


async def read_once(database: Database) -> Snapshot:
    """Return the fleet as it is now, for one who asks once."""
    reading = await whole_fleet.read(database)
    return Snapshot(fleet=reading.fleet, seq=reading.seq, age_seconds=0.0, is_stale=False, at=reading.at)


class Mirror:
    """Follows the log as an observer of the fan-out."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._fleet: Directory | None = None
        self._seq = 0
        self._true_at = 0.0
        # How far the clock of the database is ahead of ours.
        self._ahead = 0.0
        self._waiting: list[Event] = []
        self._breaks = 0
        self._to_read = asyncio.Event()
        self._to_read.set()
        self._has_read = asyncio.Event()
        self._suspicions_hint = asyncio.Event()

    def now(self) -> Snapshot | None:
        """Return the fleet, None before it was read for the first time."""
        fleet = self._fleet
        if fleet is None:
            return None
        now = self._clock()
        age = now - self._true_at
        # By position: this is made for every request.
        return Snapshot(fleet, self._seq, age, age > STALE_SECONDS, now + self._ahead)

    async def wait(self) -> Snapshot:
        """Return the fleet, waiting a little for the first reading; raises the 503 `Refused` when there is none."""
        snapshot = self.now()
        if snapshot is not None:
            return snapshot
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._has_read.wait()
        snapshot = self.now()
        if snapshot is None:
            raise Refused(
                "fleet_not_read",
                "The fleet has not been read from the database yet since the start. Ask again soon.",
                next=Next.ASK_READINESS,
            )
        return snapshot

    def take(self, extract: Extract, *, asked_at: float) -> None:
        """Take in what was read of the log; it was asked for at a monotonic time."""
        if self._to_read.is_set():
            self._waiting += extract.events
            if len(self._waiting) > MOST_WAITING:
                self._waiting.clear()
            return
        self._fold(extract.events)
        if self._seq == extract.last:
            self._true_at = max(self._true_at, asked_at)
        elif not extract.events:
            # They went by before we had read the fleet.
            self._to_read.set()

    def break_off(self) -> None:
        """Hear that the log does not go on where it was."""
        self._breaks += 1
        self._waiting.clear()
        self._to_read.set()

    async def run(self) -> None:
        """Read the fleet when that is needed, and the times every few seconds, until cancelled."""
        while True:
            try:
                if self._to_read.is_set():
                    await self._read()
                else:
                    await self._read_times()
            except DatabaseUnavailableError as error:
                log.debug("fleet_not_read", error=str(error))
                await asyncio.sleep(RETRY_AFTER_SECONDS)
                continue
            except FleetUnreadableError as error:
                # Whoever asks for something else can still be helped.
                log.error("fleet_unreadable", error=str(error))  # noqa: TRY400  (the sentence says it all)
                await asyncio.sleep(UNREADABLE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIMES_SECONDS):
                    await self._to_read.wait()

    def suspicions_changed(self) -> None:
        """Hear that a server has become suspect, or is not any more."""
        self._suspicions_hint.set()

    async def follow_suspicions(self) -> None:
        """Read which servers are suspect when that has changed, and every few seconds anyway, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SUSPICIONS_SECONDS):
                    await self._suspicions_hint.wait()
            self._suspicions_hint.clear()
            # What goes wrong here goes wrong for the fleet, too, and is told there.
            with contextlib.suppress(DatabaseUnavailableError, FleetUnreadableError):
                await self._read_suspicions()
            await asyncio.sleep(SUSPICIONS_REST_SECONDS)

    async def _read_suspicions(self) -> None:
        fleet = self._fleet
        if fleet is None:
            return
        found = await whole_fleet.suspects(self._database)
        if fleet is not self._fleet:
            return
        if found.seq <= self._seq:
            fleet.suspect(found.reasons)
        else:
            # Who is suspect no more may be down, which is not known here yet: for that moment he stays suspect.
            fleet.suspect(fleet.suspects | found.reasons)
            self._suspicions_hint.set()

    async def _read(self) -> None:
        asked_at, breaks = self._clock(), self._breaks
        reading = await whole_fleet.read(self._database)
        if breaks != self._breaks:
            return
        self._fleet, self._seq, self._true_at = reading.fleet, reading.seq, asked_at
        self._ahead = reading.at - asked_at
        self._to_read.clear()
        waiting, self._waiting = self._waiting, []
        self._fold(waiting)
        self._has_read.set()
        # What has changed while it was read went to the fleet before.
        self._suspicions_hint.set()
        log.info("fleet_mirrored", servers=len(reading.fleet.servers), seq=reading.seq)

    async def _read_times(self) -> None:
        asked_at = self._clock()
        times = await whole_fleet.times(self._database)
        self._ahead = times.at - asked_at
        if self._fleet is not None:
            self._fleet.expire(times.expired)
            for server_id, fresh_from in times.fresh_from.items():
                entry = self._fleet.servers.get(server_id)
                if entry is not None:
                    entry.fresh_from = fresh_from

    def _fold(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.seq <= self._seq:
                continue
            try:
                folding.apply(self._successor(event), event)
            except UnfoldableError as error:
                log.warning("fleet_to_be_read_anew", error=str(error))
                self._to_read.set()
                return
            self._seq = event.seq

    def _successor(self, event: Event) -> Directory:
        """Return the fleet that an event follows on."""
        if self._fleet is None or event.seq != self._seq + 1:
            raise UnfoldableError(f"Event {event.seq} does not follow {self._seq}.")
        return self._fleet
