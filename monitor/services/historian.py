"""Keeps history: what checks find is added up in memory, and written when five minutes of a server are full.

Why five minutes, and a statement apart: a page costs the database about 300 bytes of write-ahead log. At one page
a minute and 4 checks a minute that would be half as much as the checks themselves; at one in five minutes it is a
tenth. All servers' pages fill at the same moment, so they are written 500 at a time, a statement each: neither
the event loop nor a result that waits for the database notices. What is lost with a monitor that is killed is
five minutes at most, and reads as unknown.
"""

import asyncio
import time

import structlog

from monitor.domain.counters import Counters
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.fleet import Fleet
from monitor.domain.ledger import Ledger
from monitor.domain.record import ServerRecord
from monitor.domain.staleness import fresh_for
from monitor.ports import HistoryStore

LOOK = 1.0
MOST_PAGES = 500
# The database's clock was set: what is open was counted by another time.
LARGEST_STEP = 5.0

log = structlog.get_logger(__name__)


class Historian:
    """Told of every record; the times of history are those of the database's clock."""

    def __init__(self, store: HistoryStore, *, fleet: Fleet, counters: Counters) -> None:
        self._store = store
        self._fleet = fleet
        self._ledger = Ledger()
        # What the database's clock is ahead of our monotonic one; None until it was asked.
        self._offset: float | None = None
        self._counters = counters

    def note(self, record: ServerRecord) -> None:
        """Take in what a check or a listing found."""
        watched = self._fleet.get(record.server_id)
        if self._offset is None or watched is None:
            return
        if record.checked_at is None or record.good is None:
            self._ledger.believed(record.server_id, record.status, at=time.monotonic() + self._offset)
            return
        policy = watched.server.policy
        self._ledger.checked(
            record.server_id,
            record.status,
            at=record.checked_at + self._offset,
            good=record.good,
            milliseconds=None if record.latency is None else record.latency.total_seconds() * 1000,
            patience=fresh_for(interval=policy.interval.total_seconds(), timeout=policy.timeout.total_seconds()),
        )

    async def run(self) -> None:
        """Write full pages until cancelled; with the database away they wait, an hour's at the most."""
        while True:
            try:
                await self._turn()
            except DatabaseUnavailableError as error:
                log.debug("history_waits", error=str(error), pages=len(self._ledger))
            await asyncio.sleep(LOOK)

    async def flush(self) -> None:
        """Write what there is of the pages that are not full yet, too, if the database can be reached.

        Nobody will go on with them.
        """
        if self._offset is None:
            return
        self._ledger.close_all(time.monotonic() + self._offset)
        try:
            while len(self._ledger):
                await self._write()
        except DatabaseUnavailableError as error:
            log.warning("history_lost", error=str(error), pages=len(self._ledger))

    async def _turn(self) -> None:
        if self._offset is None:
            self._offset = await self._store.clock() - time.monotonic()
        self._ledger.close(time.monotonic() + self._offset, most=MOST_PAGES)
        if len(self._ledger):
            await self._write()

    async def _write(self) -> None:
        pages = self._ledger.take(MOST_PAGES)
        try:
            clock = await self._store.write(pages)
        except (DatabaseUnavailableError, asyncio.CancelledError):
            self._counters.history_pages_lost += self._ledger.put_back(pages)
            raise
        self._counters.history_pages += len(pages)
        self._compare(clock)

    def _compare(self, clock: float) -> None:
        offset = clock - time.monotonic()
        if self._offset is None or abs(offset - self._offset) <= LARGEST_STEP:
            return
        log.warning("database_clock_stepped", seconds=round(offset - self._offset, 1))
        self._ledger.clear()
        self._offset = offset
