"""A fleet that fails at once, for real or by the monitor's own fault: what is told, and what is not."""

import asyncio
import resource
import time
from datetime import timedelta

import pytest

from monitor.domain.event import Event
from tests import fold
from tests.daemon import processes
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.exchange import Connection, Request
from tests.fakes.fleet import FakeFleet

DOWNS = "SELECT count(*) FROM fleet_events WHERE type = 'server.down'"
ALL_UP = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'"
TOLD = "SELECT count(*) = 1 FROM fleet_events WHERE type = $1"
TOLD_SINCE = "SELECT count(*) = 1 FROM fleet_events WHERE seq > $1 AND type = $2"
AT_PEACE = """
SELECT count(*) FILTER (WHERE type = 'monitor.isolated') = count(*) FILTER (WHERE type = 'monitor.recovered')
FROM fleet_events
"""
CHECKED_SINCE = "SELECT min(last_checked_at) > $1 FROM ollama_servers"
INTERVAL = timedelta(seconds=0.5)
# Long enough for a test to heal a cut within the hold of two of them, however busy the machine is.
LONG_INTERVAL = timedelta(seconds=4)


async def add_all(observer: Observer, fleet: FakeFleet) -> int:
    """Register a fleet, and wait until all of it is up; return the number of the newest event then.

    On a busy machine the start alone may be reason enough for the monitor to doubt itself for a moment.
    """
    for fake in fleet:
        await observer.add(fake.url, fake.host)
    await observer.until(ALL_UP, len(fleet), within=30)
    await observer.until(AT_PEACE, within=30)
    head: int = await observer.value("SELECT seq FROM fleet_event_head")
    return head


async def monitor_events(observer: Observer) -> list[Event]:
    """What the monitor said of itself."""
    return [each for each in await fold.read_events(observer.connection) if each.type.startswith("monitor.")]


@pytest.mark.parametrize(("count", "watching"), [(10, True), (100, False)])
async def test_a_fleet_cut_off_for_less_than_the_hold_is_never_down(
    observer: Observer, daemon: Daemon, count: int, watching: bool
) -> None:
    # Without connections to watch, the first server that fails has the others asked.
    async with FakeFleet(count) as fleet, daemon(check_interval=LONG_INTERVAL, connection_watch=watching):
        start = await add_all(observer, fleet)
        for fake in fleet:
            await fake.stop()
        await observer.until(TOLD_SINCE, start, "monitor.isolated", within=30)
        for fake in fleet:
            await fake.start()
        await observer.until(TOLD_SINCE, start, "monitor.recovered", within=30)
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED_SINCE, mark, within=30)
        assert await observer.value(DOWNS) == 0
        assert await observer.value(ALL_UP, len(fleet))
    isolated, recovered = [event for event in await monitor_events(observer) if event.seq > start]
    assert isolated.server_id is None
    assert isolated.body["cause"] in {"refused", "reset"}
    assert isolated.body["servers"] >= count / 2
    assert isolated.body["of"] == count
    assert recovered.body["outage"] is False
    await observer.check_history()


async def test_a_real_outage_of_most_of_the_fleet_is_told_after_the_hold(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(10) as fleet, daemon(check_interval=INTERVAL):
        await add_all(observer, fleet)
        for index in range(6):
            await fleet.die(index)
        await observer.until("SELECT count(*) = 6 FROM ollama_servers WHERE status = 'down'")
        assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status = 'up'") == 4
        await observer.until(TOLD, "monitor.recovered")
    isolated, recovered = await monitor_events(observer)
    assert recovered.body["outage"] is True
    assert recovered.body["cause"] == "refused"
    held = INTERVAL * 2
    downs = [each for each in await fold.read_events(observer.connection) if each.type == "server.down"]
    assert len(downs) == 6
    assert min(each.at for each in downs) - isolated.at > held / 2
    assert recovered.at - isolated.at > held / 2
    await observer.check_history()


async def test_one_death_of_many_is_not_held(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(10) as fleet, daemon(check_interval=LONG_INTERVAL):
        await add_all(observer, fleet)
        await fleet.die(3)
        await observer.until("SELECT count(*) = 1 FROM ollama_servers WHERE status = 'down'", within=30)
    assert await monitor_events(observer) == []


async def test_a_blocked_loop_takes_no_server_down(observer: Observer, daemon: Daemon) -> None:
    # Two servers are too few for the guard against mass failures, and one bad answer takes them down.
    async with FakeFleet(2) as fleet, daemon(check_interval=INTERVAL, fall=1):
        await add_all(observer, fleet)
        asked = asyncio.Event()

        async def answer_soon(connection: Connection, request: Request) -> None:
            asked.set()
            await asyncio.sleep(0.2)
            fleet[0].answer_well(connection, request)

        fleet[0].behave(answer_soon, path="/api/version")
        await asyncio.wait_for(asked.wait(), 15)
        time.sleep(2)  # noqa: ASYNC251  # blocks the daemon's loop past the time-out, and that is what is tested
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED_SINCE, mark)
        assert await observer.value(DOWNS) == 0
    await observer.check_history()


async def test_a_daemon_without_descriptors_blames_itself_and_recovers(dsn: str, observer: Observer) -> None:
    async with FakeFleet(6) as fleet, processes.running(dsn, OLLAMA_FLEET_CONNECTION_WATCH="false") as process:
        await add_all(observer, fleet)
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        # Those that are open stay so; there is no new one but in the place of input, output and error.
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        for fake in fleet:
            fake.close_idle()
        await observer.until(TOLD, "monitor.isolated")
        (isolated,) = await monitor_events(observer)
        assert isolated.body["cause"] == "local"
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
        await observer.until(TOLD, "monitor.recovered")
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED_SINCE, mark)
        assert await observer.value(DOWNS) == 0
        assert await process.terminate() == 0
    await observer.check_history()
