"""Holds the right to check the fleet: takes it when it is free, renews it, and knows when it is lost."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.lease import Lease
from monitor.ports import LeaseStore

TTL = timedelta(seconds=12)
RENEWAL = 4.0
STANDBY = 2.0

log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Standing by, it asks every 2 s; a monitor that dies is followed within 12 + 2 s.

    With the database away the lease is kept: nobody else can take it then, and should somebody have
    taken it when the database is back, the database refuses our results by their epoch.
    """

    def __init__(self, store: LeaseStore, *, changed: Callable[[], None]) -> None:
        """`changed` is called when the lease was won or lost."""
        self._store = store
        self._changed = changed
        self._wake = asyncio.Event()
        self.lease: Lease | None = None

    def current(self) -> Lease | None:
        """Return the lease we hold, None while standing by."""
        return self.lease

    def wake(self) -> None:
        """Look at once whether the lease has become free."""
        if self.lease is None:
            self._wake.set()

    async def run(self) -> None:
        """Take or renew the lease until cancelled."""
        while True:
            with contextlib.suppress(DatabaseUnavailableError):
                await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STANDBY if self.lease is None else RENEWAL):
                    await self._wake.wait()
            self._wake.clear()

    async def _turn(self) -> None:
        if self.lease is None:
            self.lease = await self._store.take(TTL)
            if self.lease is not None:
                log.info("lease_won", epoch=self.lease.epoch)
                self._changed()
        elif not await self._store.renew(self.lease, TTL):
            log.warning("lease_lost", epoch=self.lease.epoch)
            self.lease = None
            self._changed()

    async def give_up(self) -> None:
        """Free the lease for another monitor; without the database it simply ends."""
        lease, self.lease = self.lease, None
        if lease is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                await self._store.give_up(lease)
