"""Holds the right to check the fleet: takes it when it is free, renews it, and ends the work when it is lost."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import structlog

from monitor import lifecycle
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

    def __init__(self, store: LeaseStore, *, work: Callable[[Lease, asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        """`work` runs under each lease that is won, until it is to stop; it is cancelled when the lease is lost."""
        self._store = store
        self._work = work
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Standing by, look at once whether the lease has become free."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the lease whenever it can be had; once `stop` is set and the work has ended, it is given up."""
        while (lease := await lifecycle.unless(stop, self._take())) is not None:
            log.info("lease_won", epoch=lease.epoch)
            if await self._held_to_the_end(lease, stop):
                await lifecycle.end("lease", self._give_up(lease))
                return

    async def _take(self) -> Lease:
        while True:
            self._wake.clear()
            with contextlib.suppress(DatabaseUnavailableError):
                lease = await self._store.take(TTL)
                if lease is not None:
                    return lease
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STANDBY):
                    await self._wake.wait()

    async def _held_to_the_end(self, lease: Lease, stop: asyncio.Event) -> bool:
        """Do the work, and renew the lease meanwhile; False when it was lost before the work had ended."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work(lease, stop), name="work under the lease")
            renewing = group.create_task(self._renew(lease, lost=working.cancel), name="lease")
            await asyncio.wait([working])
            renewing.cancel()
        return not working.cancelled()

    async def _renew(self, lease: Lease, *, lost: Callable[[], object]) -> None:
        is_held = True
        while is_held:
            await asyncio.sleep(RENEWAL)
            with contextlib.suppress(DatabaseUnavailableError):
                is_held = await self._store.renew(lease, TTL)
        log.warning("lease_lost", epoch=lease.epoch)
        lost()

    async def _give_up(self, lease: Lease) -> None:
        """Free the lease for another monitor; without the database it simply ends."""
        with contextlib.suppress(DatabaseUnavailableError):
            await self._store.give_up(lease)
