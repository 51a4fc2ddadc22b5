"""Daemons that are killed, frozen or stopped: nothing is lost or doubled, and another one takes over."""

import asyncio
import random
import signal

import pytest

from tests.daemon import processes
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.fleet import FakeFleet
from tests.fakes.ollama import FakeOllama

TAKEOVER = 20.0
FIRST_CHECK = "SELECT count(*) = $1 FROM ollama_servers WHERE last_checked_at > $2"


async def test_a_second_daemon_takes_over_when_the_first_is_killed(dsn: str, observer: Observer) -> None:
    async with FakeOllama() as fake, processes.running(dsn) as first:
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up", within=30)
        owner = await observer.value("SELECT owner FROM monitor_leases")
        async with processes.running(dsn):
            await first.kill()
            await observer.until("SELECT owner <> $1 FROM monitor_leases", owner, within=TAKEOVER)
            mark = await observer.value("SELECT clock_timestamp()")
            await observer.until(FIRST_CHECK, 1, mark)
            assert await observer.value("SELECT epoch FROM monitor_leases") == 2
    await observer.check_history()


async def test_a_daemon_that_stops_in_order_gives_its_lease_up_at_once(dsn: str, observer: Observer) -> None:
    async with FakeFleet(200) as fleet, processes.running(dsn) as first:
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        await observer.until("SELECT count(*) = 200 FROM ollama_servers WHERE status = 'up'", within=30)
        for fake in fleet:
            fake.behave(behaviours.hang())

        async def checks_are_under_way() -> bool:
            return all(fake.requests["/api/version"] > 1 for fake in fleet)

        await observer.until_true(checks_are_under_way)
        async with asyncio.timeout(10):
            assert await first.terminate() == 0
        assert await observer.value("SELECT owner IS NULL FROM monitor_leases")
        # What was under way was cut off, and that is no failure of a server.
        assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status = 'down'") == 0
    await observer.check_history()


async def test_a_frozen_daemon_finds_its_lease_lost_and_its_results_refused(dsn: str, observer: Observer) -> None:
    async with FakeOllama() as fake, processes.running(dsn) as first:
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up", within=30)
        first.signal(signal.SIGSTOP)
        await observer.connection.execute("UPDATE monitor_leases SET expires_at = clock_timestamp()")
        async with processes.running(dsn):
            await observer.until("SELECT epoch = 2 FROM monitor_leases", within=TAKEOVER)
            owner = await observer.value("SELECT owner FROM monitor_leases")
            await fake.stop()
            await observer.until_status(server_id, "down")
            changed = await observer.value("SELECT status_changed_at FROM ollama_servers")
            first.signal(signal.SIGCONT)
            mark = await observer.value("SELECT clock_timestamp()")
            await observer.until(FIRST_CHECK, 1, mark)
            assert await observer.value("SELECT owner FROM monitor_leases") == owner
            assert await observer.value("SELECT status_changed_at FROM ollama_servers") == changed
            assert await first.terminate() == 0
    await observer.check_history()


async def test_a_daemon_killed_at_any_moment_loses_and_doubles_nothing(
    dsn: str, observer: Observer, pytestconfig: pytest.Config
) -> None:
    rounds = 50 if pytestconfig.getoption("--long") else 4
    chance = random.Random(7)
    async with FakeFleet(12) as fleet:
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        for _ in range(rounds):
            async with processes.running(dsn) as daemon:
                # No waiting for the lease of the one killed before: that has a test of its own.
                await observer.connection.execute("UPDATE monitor_leases SET expires_at = clock_timestamp()")
                mark = await observer.value("SELECT clock_timestamp()")
                await observer.until(
                    "SELECT count(*) > 0 FROM ollama_servers WHERE last_checked_at > $1", mark, within=30
                )
                for index in chance.sample(range(12), 4):
                    dead = fleet[index]
                    await (dead.stop() if dead.is_listening else dead.start())
                moment = await observer.value("SELECT clock_timestamp() + $1 * interval '1 second'", chance.random())
                await observer.until("SELECT clock_timestamp() > $1", moment)
                await daemon.kill()
        truth = {fake.host: "up" if fake.is_listening else "down" for fake in fleet}
        async with processes.running(dsn):
            await observer.connection.execute("UPDATE monitor_leases SET expires_at = clock_timestamp()")

            async def tables_tell_the_truth() -> bool:
                rows = await observer.connection.fetch("SELECT name, status FROM ollama_servers")
                return {row["name"]: row["status"] for row in rows} == truth

            await observer.until_true(tables_tell_the_truth, within=30)
    await observer.check_history()
