"""A fleet that fails at once, for real or by the monitor's own fault: what is told, and what is not."""

import asyncio
import resource
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from monitor.domain.event import Event
from tests import fold
from tests.daemon import processes
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Connection, Request
from tests.fakes.fleet import FakeFleet
from tests.fakes.ollama import FakeOllama

DOWNS = "SELECT count(*) FROM fleet_events WHERE type = 'server.down'"
ALL_UP = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'"
TOLD_SINCE = "SELECT count(*) = 1 FROM fleet_events WHERE seq > $1 AND type = $2"
AT_PEACE = """
SELECT count(*) FILTER (WHERE type = 'monitor.isolated') = count(*) FILTER (WHERE type = 'monitor.recovered')
FROM fleet_events
"""
CHECKED_SINCE = "SELECT min(last_checked_at) > $1 FROM ollama_servers"
INTERVAL = timedelta(seconds=0.5)
QUICK_TIMEOUT = timedelta(seconds=1)
NONE_SUSPECT = "SELECT count(*) = 0 FROM ollama_servers WHERE suspect_since IS NOT NULL OR suspicion_told"
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


def fall_silent(fakes: Iterable[FakeOllama]) -> None:
    """Have servers accept and never answer, from now on; nothing tells of it but time-outs."""
    for fake in fakes:
        fake.behave(behaviours.hang())


@pytest.mark.parametrize(("count", "watching"), [(10, True), (100, False)])
async def test_a_fleet_that_is_silent_for_less_than_the_hold_is_never_down(
    observer: Observer, daemon: Daemon, count: int, watching: bool
) -> None:
    # Regular checks come only after the test: the first server that is silent has the others asked.
    patience = {"check_interval": LONG_INTERVAL, "check_timeout": QUICK_TIMEOUT}
    async with FakeFleet(count) as fleet, daemon(connection_watch=watching, **patience):
        start = await add_all(observer, fleet)
        fall_silent(fleet)
        await observer.until(TOLD_SINCE, start, "monitor.isolated", within=30)
        for fake in fleet:
            fake.behave_well()
        await observer.until(TOLD_SINCE, start, "monitor.recovered", within=30)
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED_SINCE, mark, within=30)
        assert await observer.value(DOWNS) == 0
        assert await observer.value(ALL_UP, len(fleet))
        await observer.until(NONE_SUSPECT)
    isolated, recovered = [event for event in await monitor_events(observer) if event.seq > start]
    assert isolated.server_id is None
    # A busy machine may take some of the time-outs for its own fault.
    assert isolated.body["cause"] in {"timeout", "local"}
    assert 3 <= isolated.body["servers"] <= count
    assert isolated.body["of"] == count
    since, until = (datetime.fromisoformat(isolated.body[name]) for name in ("since", "until"))
    assert until - since == 2 * LONG_INTERVAL
    assert recovered.body["outage"] is False
    await observer.check_history()


async def test_a_whole_fleet_that_is_silent_for_longer_is_told_after_the_hold(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeFleet(6) as fleet, daemon(check_interval=INTERVAL, check_timeout=QUICK_TIMEOUT):
        start = await add_all(observer, fleet)
        fall_silent(fleet)
        await observer.until("SELECT count(*) = 6 FROM ollama_servers WHERE status = 'down'", within=30)
        await observer.until(TOLD_SINCE, start, "monitor.recovered", within=30)
    isolated, recovered = [event for event in await monitor_events(observer) if event.seq > start]
    assert recovered.body["outage"] is True
    downs = [each for each in await fold.read_events(observer.connection) if each.type == "server.down"]
    assert len(downs) == 6
    # All of them as soon as the hold is over, without another question.
    assert min(each.at for each in downs) - isolated.at > INTERVAL
    assert max(each.at for each in downs) - min(each.at for each in downs) < timedelta(seconds=2)
    await observer.check_history()


async def test_most_of_a_fleet_that_falls_silent_is_down_as_soon_as_one_server_while_another_answers(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeFleet(10) as fleet, daemon(check_interval=LONG_INTERVAL, check_timeout=QUICK_TIMEOUT):
        start = await add_all(observer, fleet)
        fall_silent(list(fleet)[1:])
        await observer.until("SELECT count(*) = 9 FROM ollama_servers WHERE status = 'down'", within=30)
        assert await observer.value("SELECT status FROM ollama_servers WHERE url = $1", fleet[0].url) == "up"
        await observer.until(AT_PEACE)
    # On a busy machine the one that answers may be late; with its answer the doubt ends, and nobody waits for the hold.
    told = [event for event in await monitor_events(observer) if event.seq > start]
    assert [event.body["outage"] for event in told if event.type == "monitor.recovered"] == [False] * (len(told) // 2)
    assert all(ended.at - began.at < LONG_INTERVAL for began, ended in zip(told[::2], told[1::2], strict=True))
    await observer.check_history()


async def test_a_whole_fleet_that_is_killed_is_down_at_once(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(10) as fleet, daemon(check_interval=LONG_INTERVAL):
        start = await add_all(observer, fleet)
        await observer.until("SELECT count(*) = 10 FROM ollama_servers WHERE watch_state = 'watched'", within=30)
        began = await observer.value("SELECT clock_timestamp()")
        for index in range(10):
            await fleet.die(index)
        await observer.until("SELECT count(*) = 10 FROM ollama_servers WHERE status = 'down'", within=30)
    events = await fold.read_events(observer.connection)
    downs = [each for each in events if each.type == "server.down"]
    assert len(downs) == 10
    assert max(each.at for each in downs) - began < LONG_INTERVAL
    assert [event for event in await monitor_events(observer) if event.seq > start] == []
    await observer.check_history()


async def test_one_death_of_many_is_not_held(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(10) as fleet, daemon(check_interval=LONG_INTERVAL):
        start = await add_all(observer, fleet)
        await fleet.die(3)
        await observer.until("SELECT count(*) = 1 FROM ollama_servers WHERE status = 'down'", within=30)
    assert [event for event in await monitor_events(observer) if event.seq > start] == []


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
        start = await add_all(observer, fleet)
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        # Those that are open stay so; there is no new one but in the place of input, output and error.
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        for fake in fleet:
            fake.close_idle()
        await observer.until(TOLD_SINCE, start, "monitor.isolated")
        (isolated,) = [event for event in await monitor_events(observer) if event.seq > start]
        assert isolated.body["cause"] == "local"
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
        await observer.until(TOLD_SINCE, start, "monitor.recovered")
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until(CHECKED_SINCE, mark)
        assert await observer.value(DOWNS) == 0
        assert await process.terminate() == 0
    await observer.check_history()
