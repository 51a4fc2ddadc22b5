"""Tells the event log how the monitor itself is doing, also when the database was away meanwhile."""

import asyncio

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import Announcement, EventType
from monitor.ports import AnnouncementStore

RETRY = 1.0

log = structlog.get_logger(__name__)


class Announcer:
    """Keeps what is not written yet: never more than the end of one isolation and the newest one.

    An isolation that came and went while the database was away gives way to the next one, so that what
    subscribers read alternates, and ends with how it is now. An isolation that a monitor before this one
    left open, since it was killed in the middle of it, is closed first of all.
    """

    def __init__(self, store: AnnouncementStore) -> None:
        self._store = store
        self._waiting: list[Announcement] = []
        self._inherits = True
        self._writing: Announcement | None = None
        self._wake = asyncio.Event()
        self._wake.set()

    def announce(self, announcement: Announcement, /) -> None:
        """Take a piece of news to be written soon."""
        newest = self._waiting[-2:]
        over = [each.type for each in newest] == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]
        if over and newest[0] is not self._writing:
            del self._waiting[-2:]
        self._waiting.append(announcement)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()
            if self._waiting or self._inherits:
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def flush(self) -> None:
        """Write what waits, if the database can be reached."""
        while self._waiting or self._inherits:
            first = self._writing = None if self._inherits else self._waiting[0]
            try:
                if first is None:
                    await self._store.close_open()
                else:
                    await self._store.announce(first)
            except DatabaseUnavailableError:
                return
            except Exception:
                # Subscribers miss a piece of news; checks are to go on all the same.
                log.exception("announcement_refused", type=first and first.type)
            finally:
                self._writing = None
            if first is None:
                self._inherits = False
            else:
                self._waiting.remove(first)
