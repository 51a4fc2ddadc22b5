"""The right to check the fleet: taken when free, renewed, kept while the database is away, noticed when lost."""

import asyncio
import uuid

import pytest

from monitor.domain.lease import Lease
from monitor.services import lease_keeper
from monitor.services.lease_keeper import LeaseKeeper
from tests.services.conftest import Running, settled, until
from tests.services.fakes import MemoryDatabase, MemoryLeases

NEVER = 3600.0
STRANGER = Lease(owner=uuid.uuid4(), epoch=99)


class Holder:
    """A keeper, and what it called out."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.store = MemoryLeases(database)
        self.keeper = LeaseKeeper(self.store, changed=lambda: self.changes.append(self.keeper.current()))
        self.changes: list[Lease | None] = []

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
    assert holder.keeper.current() is None
    async with running(holder.keeper.run()):
        await until(holder.keeper.current)
        await holder.asked_again()
    assert holder.changes == [database.lease] == [holder.keeper.current()]


async def test_a_lease_that_somebody_holds_is_taken_as_soon_as_it_is_free(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    database.lease = STRANGER
    async with running(holder.keeper.run()):
        await holder.asked_again()
        assert (holder.keeper.current(), holder.changes) == (None, [])
        database.lease = None
        await until(holder.keeper.current)


async def test_a_lost_lease_is_announced_and_taken_again_with_a_new_epoch(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    async with running(holder.keeper.run()):
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
    async with running(holder.keeper.run()):
        await until(holder.keeper.current)
        database.away = True
        await holder.asked_again()
        assert holder.keeper.current() is not None
        database.away = False
        await holder.asked_again()
    assert len(holder.changes) == 1


async def test_standing_by_it_looks_at_once_when_it_is_woken(
    holder: Holder, database: MemoryDatabase, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "STANDBY", NEVER)
    monkeypatch.setattr(lease_keeper, "RENEWAL", NEVER)
    database.lease = STRANGER
    async with running(holder.keeper.run()):
        await until(lambda: holder.store.asked == 1)
        database.lease = None
        holder.keeper.wake()
        await until(holder.keeper.current)
        asked = holder.store.asked
        holder.keeper.wake()
        await settled()
        assert holder.store.asked == asked


async def test_a_lease_that_is_given_up_is_free_for_others(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    async with running(holder.keeper.run()):
        await until(holder.keeper.current)
    await holder.keeper.give_up()
    assert (database.lease, holder.keeper.current()) == (None, None)
    await holder.keeper.give_up()


async def test_giving_up_with_the_database_away_is_no_error(
    holder: Holder, database: MemoryDatabase, running: Running
) -> None:
    async with running(holder.keeper.run()):
        await until(holder.keeper.current)
    database.away = True
    await asyncio.wait_for(holder.keeper.give_up(), 10)
    assert holder.keeper.current() is None
