"""A server that dies is known long before its next check, and a connection is held only where it is to be."""

import asyncio
import signal
import sys
import uuid
from contextlib import suppress

import pytest

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.watching import RARELY, SOON, WATCH_STATE, downs, until_left_alone, until_watched
from tests.fakes.fleet import FakeFleet
from tests.fakes.ollama import FakeOllama


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_a_servers_process_is_known_at_once(
    dsn: str, observer: Observer, daemon: Daemon, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.ollama", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int((await process.stdout.readline()).split()[1])
        async with daemon(check_interval=RARELY, discovery_interval=RARELY), downs(dsn) as heard:
            server_id = await observer.add(f"http://127.0.0.1:{port}")
            await observer.until(WATCH_STATE, "watched")
            process.send_signal(number)
            assert uuid.UUID(await asyncio.wait_for(heard.get(), SOON)) == server_id
        assert await observer.value("SELECT status_reason FROM ollama_servers") == "refused"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    await observer.check_history()


async def test_many_servers_that_die_at_once_are_all_known_and_the_others_stay_up(
    dsn: str, observer: Observer, daemon: Daemon
) -> None:
    async with (
        FakeFleet(40) as fleet,
        daemon(check_interval=RARELY, discovery_interval=RARELY),
        downs(dsn) as heard,
    ):
        ids = [await observer.add(fake.url, fake.host) for fake in fleet]
        await until_watched(observer, list(fleet))
        # Fewer than half: more could be our own network.
        for index in range(15):
            await fleet.die(index)
        known = {uuid.UUID(await asyncio.wait_for(heard.get(), SOON)) for _ in range(15)}
        assert known == set(ids[:15])
        assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status = 'up'") == 25
        await fleet.revive(0)
        await until_watched(observer, [fleet[0], *list(fleet)[15:]])
        await fleet.die(0)
        assert uuid.UUID(await asyncio.wait_for(heard.get(), SOON)) == ids[0]
    await observer.check_history()


async def test_a_server_that_ends_idle_connections_is_learnt_and_left_alone_while_it_stays_up(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake, daemon():
        server_id = await observer.add(fake.url)
        for _ in range(3):
            await until_watched(observer, [fake])
            for connection in fake.silent_connections:
                connection.close()
            await until_left_alone(observer, fake)
        await observer.until(WATCH_STATE, "not_held")
        checks = fake.requests["/api/version"]
        mark = await observer.value("SELECT clock_timestamp()")

        async def checked_again_and_left_alone() -> bool:
            assert not fake.silent_connections
            return bool(
                await observer.value(
                    "SELECT last_checked_at > $1::timestamptz + interval '2 seconds' FROM ollama_servers", mark
                )
            )

        await observer.until_true(checked_again_and_left_alone)
        assert fake.requests["/api/version"] <= checks + 6
        assert await observer.value("SELECT status FROM ollama_servers") == "up"
        # An edit makes it be tried again.
        await observer.connection.execute("UPDATE ollama_servers SET priority = 7")
        await observer.until(WATCH_STATE, "watched")
    assert "server.down" not in await observer.types(server_id)
    await observer.check_history()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ollama_servers SET is_active = false",
        "DELETE FROM ollama_servers",
        "UPDATE ollama_servers SET url = 'http://127.0.0.1:1'",
        "UPDATE monitor_leases SET owner = gen_random_uuid(), epoch = epoch + 1, "
        "expires_at = clock_timestamp() + interval '1 hour'",
    ],
    ids=["inactive", "deleted", "moved", "lease lost"],
)
async def test_a_server_that_is_ours_no_more_is_let_go(observer: Observer, daemon: Daemon, statement: str) -> None:
    async with FakeOllama() as fake, daemon(check_interval=RARELY, discovery_interval=RARELY):
        await observer.add(fake.url)
        await until_watched(observer, [fake])
        await observer.connection.execute(statement)
        await until_left_alone(observer, fake)
    await observer.check_history()


async def test_a_daemon_that_stops_lets_go_of_all_servers(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(20) as fleet:
        async with daemon(check_interval=RARELY):
            for fake in fleet:
                await observer.add(fake.url, fake.host)
            await until_watched(observer, list(fleet))
        for fake in fleet:
            await until_left_alone(observer, fake)
    assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status <> 'up'") == 0


async def test_with_the_watch_off_no_connection_is_held(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake, daemon(connection_watch=False):
        await observer.add(fake.url)
        await observer.until(WATCH_STATE, "off")
        assert not fake.silent_connections


async def test_an_operator_can_leave_a_single_server_unwatched(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(2) as fleet, daemon(check_interval=RARELY, discovery_interval=RARELY):
        ids = [await observer.add(fake.url, fake.host) for fake in fleet]
        await until_watched(observer, list(fleet))
        await observer.connection.execute("UPDATE ollama_servers SET connection_watch = false WHERE id = $1", ids[0])
        await observer.until(f"{WATCH_STATE} WHERE id = $2", "off", ids[0])
        await until_left_alone(observer, fleet[0])
        await until_watched(observer, [fleet[1]])
        assert await observer.value(f"{WATCH_STATE} WHERE id = $2", "watched", ids[1])
        assert not fleet[0].silent_connections
    await observer.check_history()
