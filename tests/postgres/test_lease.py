"""The lease: one owner at a time, by the database's clock, and an epoch that only grows."""

import asyncio
import contextlib
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.lease import Lease
from monitor.postgres import database, lease_store
from monitor.postgres.database import Connection, Database
from monitor.postgres.lease_store import PostgresLeaseStore

TTL = timedelta(minutes=1)
EXPIRE = "UPDATE monitor_leases SET expires_at = clock_timestamp() - interval '1 ms'"


@pytest.fixture
def monitors(fleet_database: Database) -> list[PostgresLeaseStore]:
    """Two monitors on one database."""
    return [PostgresLeaseStore(fleet_database, owner=uuid.uuid4(), owner_name=name) for name in ("one", "two")]


async def test_only_one_of_two_has_it(monitors: list[PostgresLeaseStore]) -> None:
    one, two = monitors
    held = await one.take(TTL)

    assert held is not None
    assert held.epoch == 1
    assert await two.take(TTL) is None
    assert await one.take(TTL) is None
    assert await one.renew(held, TTL)


async def test_what_the_owner_counts_goes_along_with_each_renewal_and_nobody_elses(
    fleet_database: Database, connection: Connection
) -> None:
    counted = {"n": 1}
    store = PostgresLeaseStore(fleet_database, owner=uuid.uuid4(), owner_name="x", stats=lambda: counted)
    held = await store.take(TTL)
    assert held is not None
    for number in (1, 2):
        counted["n"] = number
        assert await store.renew(held, TTL)
        assert await connection.fetchval("SELECT body->>'n' FROM monitor_stats") == str(number)
    counted["n"] = 3
    assert not await store.renew(replace(held, epoch=held.epoch - 1), TTL)
    assert await connection.fetchval("SELECT body->>'n' FROM monitor_stats") == "2"
    assert await connection.fetchval("SELECT taken_at < expires_at FROM monitor_leases")


async def test_only_one_of_many_that_ask_at_once_gets_it(fleet_database: Database) -> None:
    stores = [PostgresLeaseStore(fleet_database, owner=uuid.uuid4(), owner_name="x") for _ in range(10)]

    taken = await asyncio.gather(*(store.take(TTL) for store in stores))

    assert [lease.epoch for lease in taken if lease is not None] == [1]


async def test_an_expired_one_changes_hands_and_the_stale_owner_learns_it(
    monitors: list[PostgresLeaseStore], connection: Connection
) -> None:
    one, two = monitors
    stale = await one.take(TTL)
    assert stale is not None
    await connection.execute(EXPIRE)

    fresh = await two.take(TTL)

    assert fresh is not None
    assert fresh.epoch == stale.epoch + 1
    assert not await one.renew(stale, TTL)
    await one.give_up(stale)
    assert await two.renew(fresh, TTL)
    assert await one.take(TTL) is None
    assert await connection.fetchval("SELECT owner_name FROM monitor_leases") == "two"


async def test_an_expired_one_that_nobody_took_can_still_be_renewed(
    monitors: list[PostgresLeaseStore], connection: Connection
) -> None:
    one, two = monitors
    held = await one.take(TTL)
    assert held is not None
    await connection.execute(EXPIRE)

    assert await one.renew(held, TTL)
    assert await two.take(TTL) is None


async def test_time_is_the_databases_own(monitors: list[PostgresLeaseStore], connection: Connection) -> None:
    await monitors[0].take(TTL)
    left = "SELECT expires_at - clock_timestamp() BETWEEN interval '50 s' AND interval '1 min' FROM monitor_leases"
    assert await connection.fetchval(left)


async def test_given_up_it_is_free_at_once_and_those_standing_by_are_woken(
    monitors: list[PostgresLeaseStore], connection: Connection
) -> None:
    heard: list[str] = []
    await connection.add_listener("ollama_fleet_requests", lambda _c, _p, _n, payload: heard.append(payload))
    one, two = monitors
    held = await one.take(TTL)
    assert held is not None

    await one.give_up(held)
    await one.give_up(held)

    assert not await one.renew(held, TTL)
    assert await two.take(TTL) == Lease(shard=0, owner=two._owner, epoch=2)
    await connection.execute("SELECT 1")
    assert heard == ["lease"]


async def test_the_epoch_grows_with_every_taking(monitors: list[PostgresLeaseStore], connection: Connection) -> None:
    epochs = []
    for turn in range(6):
        lease = await monitors[turn % 2].take(TTL)
        assert lease is not None
        epochs.append(lease.epoch)
        await connection.execute(EXPIRE)

    assert epochs == [1, 2, 3, 4, 5, 6]


async def test_an_owner_that_is_frozen_before_a_statement_is_prepared_does_not_keep_the_row_locked(
    monitors: list[PostgresLeaseStore],
    fleet_database: Database,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_store, "PATIENCE", timedelta(seconds=0.2))
    one, two = monitors
    held = await one.take(TTL)
    await connection.execute(EXPIRE)
    frozen = await database.connect(fleet_database.dsn, name="frozen")
    await frozen.transaction().start()
    await frozen.fetchval("SELECT epoch FROM monitor_leases FOR SHARE")
    # The driver lets PostgreSQL wait for the rest of it, so the session is not idle.
    await frozen.prepare("SELECT 1")

    taken = await two.take(TTL)

    assert held is not None
    assert taken is not None
    assert taken.epoch == held.epoch + 1
    assert await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen'") is None
    frozen.terminate()


async def test_without_anybody_who_takes_over_a_frozen_transaction_ends_as_well(
    fleet_database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TRANSACTION_TIMEOUT_MS", "500")
    monitor = Database(fleet_database.dsn, name="frozen")
    await monitor.open()
    freed = ""
    with contextlib.suppress(DatabaseUnavailableError):
        async with monitor.session() as frozen:
            await frozen.transaction().start()
            await frozen.fetchval("SELECT epoch FROM monitor_leases FOR SHARE")
            await frozen.prepare("SELECT 1")
            freed = await connection.execute(EXPIRE, timeout=15)
    assert freed == "UPDATE 1"
    await monitor.close()
