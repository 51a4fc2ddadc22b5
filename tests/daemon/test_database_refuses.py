"""A daemon whose database refuses for a moment, or keeps a row from it: it waits for that, and for nothing else."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from monitor import app
from monitor.domain.errors import ConfigurationError
from monitor.postgres.database import Connection
from monitor.services import lease_keeper
from monitor.settings import Settings
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.database_guest import TROUBLE, DatabaseGuest
from tests.fakes.fleet import FakeFleet
from tests.fakes.ollama import FakeOllama

EPOCH = "SELECT epoch FROM monitor_leases"
CHECKED_TWICE = "SELECT min(last_checked_at) > $1 FROM ollama_servers WHERE name = ANY ($2)"


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_database_that_refuses_for_a_moment_is_waited_for(
    observer: Observer, daemon: Daemon, guest: DatabaseGuest, trouble: str
) -> None:
    with capture_logs() as logs:
        async with FakeOllama() as fake, daemon(database_url=guest.dsn):
            server_id = await observer.add(fake.url)
            await observer.until_status(server_id, "up")
            async with guest.locked_out(trouble):
                asked = fake.requests["/api/version"]

                async def checks_go_on() -> bool:
                    return fake.requests["/api/version"] > asked + 3

                await observer.until_true(checks_go_on, within=30)
            await fake.stop()
            await observer.until_status(server_id, "down", within=30)
    # Once for the change, not once a second.
    assert len([each for each in logs if each["event"] == "results_wait"]) == 1


async def test_a_login_that_is_refused_at_the_first_start_is_a_wrong_setting(guest: DatabaseGuest) -> None:
    async with guest.locked_out("a role that may not log in"):
        with pytest.raises(ConfigurationError, match="is not permitted to log in") as caught:
            await app.serve(Settings(), dsn=guest.dsn, stop=asyncio.Event(), ready=lambda: None)
    assert "\n" not in str(caught.value)


async def test_a_row_that_somebody_has_locked_keeps_no_other_server_waiting(
    observer: Observer, daemon: Daemon, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the lease would be lost within the test, if a write could hold it up.
    monkeypatch.setattr(lease_keeper, "TTL", timedelta(seconds=6))
    monkeypatch.setattr(lease_keeper, "RENEWAL", 1.0)
    monkeypatch.setattr(app, "LOCK_TIMEOUT", 2.0)
    with capture_logs() as logs:
        async with FakeFleet(3) as fleet, daemon():
            for fake, name in zip(fleet, ("held", "dying", "other"), strict=True):
                await observer.add(fake.url, name)
            await observer.until("SELECT count(*) = 3 FROM ollama_servers WHERE status = 'up'")
            epoch = await observer.value(EPOCH)
            forgotten: Connection = await asyncpg.connect(dsn, server_settings={"application_name": "forgotten psql"})
            async with forgotten.transaction():
                await forgotten.execute("UPDATE ollama_servers SET priority = 7 WHERE name = 'held'")
                await fleet.die(0)
                await fleet.die(1)
                await observer.until("SELECT status = 'down' FROM ollama_servers WHERE name = 'dying'")
                # Longer than the life of the lease: it is renewed, and results go in, again and again.
                for _ in range(8):
                    mark = await observer.value("SELECT clock_timestamp()")
                    await observer.until(CHECKED_TWICE, mark, ["other"])
                assert await observer.value("SELECT status FROM ollama_servers WHERE name = 'held'") == "up"
            await forgotten.close()
            await observer.until("SELECT status = 'down' FROM ollama_servers WHERE name = 'held'")
            assert await observer.value(EPOCH) == epoch
    (told,) = [each for each in logs if each["event"] == "server_rows_locked"]
    assert "forgotten psql, in a transaction since" in told["holder"]


async def test_the_renewal_of_a_lease_waits_for_no_write(observer: Observer, daemon: Daemon, dsn: str) -> None:
    async with daemon():
        await observer.until("SELECT owner IS NOT NULL FROM monitor_leases")
        writing: Connection = await asyncpg.connect(dsn)
        async with writing.transaction():
            assert await writing.fetchval("SELECT fleet_lease_held(shard, owner, epoch) FROM monitor_leases")
            before = await observer.value("SELECT expires_at FROM monitor_leases")
            await observer.until("SELECT expires_at > $1 FROM monitor_leases", before)
        await writing.close()


async def test_a_lease_is_taken_over_by_nobody_in_the_middle_of_a_write(connection: Connection, dsn: str) -> None:
    await connection.execute("UPDATE monitor_leases SET owner = gen_random_uuid()")
    writing: Connection = await asyncpg.connect(dsn)
    async with writing.transaction():
        assert await writing.fetchval("SELECT fleet_lease_held(shard, owner, epoch) FROM monitor_leases")
        await connection.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute("UPDATE monitor_leases SET owner = gen_random_uuid(), epoch = epoch + 1")
    await writing.close()
