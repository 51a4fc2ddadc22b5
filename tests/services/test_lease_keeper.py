"""The right to check the fleet: taken when free, renewed, kept while the database is away, noticed when lost."""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import pytest

from monitor.domain.lease import Lease
from monitor.services import lease_keeper
from monitor.services.lease_keeper import LeaseKeeper
from tests.services.conftest import Running, settled, until
from tests.services.fakes import MemoryDatabase, MemoryLeases

NEVER = 3600.0
STRANGER = Lease(shard=0, owner=uuid.uuid4(), epoch=99)


class Holder:
    """A keeper, and the leases under which there was work: each that was won, and None when one was lost."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.store = MemoryLeases(database)
        self.keeper = LeaseKeeper(self.store, work=self._work)
        self.changes: list[Lease | None] = []
        self.stop = asyncio.Event()
        self._database = database

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        self.changes.append(lease)
        try:
            await stop.wait()
        except asyncio.CancelledError:
            if self._database.lease != lease:
                self.changes.append(None)
            raise

    def run(self) -> Coroutine[Any, Any, None]:
        """Keep the lease until `stop` is set."""
        return self.keeper.run(self.stop)

    def current(self) -> Lease | None:
        """The lease under which there is work."""
        return self.changes[-1] if self.changes and not self.stop.is_set() else None

    async def asked_again(self) -> None:
        """Wait until the keeper has asked the database and understood the answer."""
        asked = self.store.asked
        await until(lambda: self.store.asked > asked + 1)


@pytest.fixture
def holder(database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """A keeper that asks all the time; the lease is free."""
    monkeypatch.setattr(lease_keeper, "STANDBY", 0.002)
    monkeypatch.setattr(lease_keeper, "RENEWAL", 0.002)
    database.lease = None
    return Holder(database)


async def test_a_free_lease_is_taken_renewed_and_announced_once(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    assert holder.current() is None
    async with running(holder.run()):
        await until(holder.current)
        await holder.asked_again()
    assert holder.changes == [database.lease] == [holder.current()]


async def test_a_lease_that_somebody_holds_is_taken_as_soon_as_it_is_free(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    database.lease = STRANGER
    async with running(holder.run()):
        await holder.asked_again()
        assert (holder.current(), holder.changes) == (None, [])
        database.lease = None
        await until(holder.current)


async def test_a_lost_lease_is_announced_and_taken_again_with_a_new_epoch(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    async with running(holder.run()):
        await until(lambda: len(holder.changes) == 1)
        database.lease = STRANGER
        await until(lambda: len(holder.changes) == 2)
        database.lease = None
        await until(lambda: len(holder.changes) == 3)
    first, lost, second = holder.changes
    assert lost is None
    assert first is not None
    assert second is not None
    assert second.epoch > first.epoch


async def test_with_the_database_away_the_lease_is_kept(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    async with running(holder.run()):
        await until(holder.current)
        database.away = True
        await holder.asked_again()
        assert holder.current() is not None
        database.away = False
        await holder.asked_again()
    assert len(holder.changes) == 1


async def test_standing_by_it_looks_at_once_when_it_is_woken(
    holder: Holder, database: MemoryDatabase, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "STANDBY", NEVER)
    monkeypatch.setattr(lease_keeper, "RENEWAL", NEVER)
    database.lease = STRANGER
    async with running(holder.run()):
        await until(lambda: holder.store.asked == 1)
        database.lease = None
        holder.keeper.wake()
        await until(holder.current)
        asked = holder.store.asked
        holder.keeper.wake()
        await settled()
        assert holder.store.asked == asked


async def test_a_lease_that_is_given_up_is_free_for_others(holder: Holder, database: MemoryDatabase) -> None:
    running = asyncio.create_task(holder.run())
    await until(holder.current)
    holder.stop.set()
    await asyncio.wait_for(running, 10)
    assert (database.lease, holder.current()) == (None, None)


async def test_giving_up_with_the_database_away_is_no_error(holder: Holder, database: MemoryDatabase) -> None:
    running = asyncio.create_task(holder.run())
    await until(holder.current)
    database.away = True
    holder.stop.set()
    await asyncio.wait_for(running, 10)
    assert holder.current() is None


async def test_standing_by_it_ends_when_it_is_to_stop(
    holder: Holder, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "STANDBY", NEVER)
    database.lease = STRANGER
    running = asyncio.create_task(holder.run())
    await until(lambda: holder.store.asked == 1)
    holder.stop.set()
    await asyncio.wait_for(running, 10)
    assert (database.lease, holder.changes) == (STRANGER, [])


async def test_work_that_fails_is_not_kept_quiet(database: MemoryDatabase) -> None:
    async def fail(_lease: Lease, _stop: asyncio.Event) -> None:
        raise RuntimeError("a bug")

    database.lease = None
    with pytest.raises(ExceptionGroup) as caught:
        await LeaseKeeper(MemoryLeases(database), work=fail).run(asyncio.Event())
    assert caught.group_contains(RuntimeError, match="a bug")
    # Another monitor follows when it has run out: what was under way here may still be.
    assert database.lease is not None
