"""A monitor that loses its own network for a while, with connections to watch: it blames nobody."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests import fold
from tests.daemon import processes
from tests.daemon.observer import Observer
from tests.fakes import fleet
from tests.fakes.network import Network, network

SERVERS = 10
WATCHED = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up' AND watch_state = 'watched'"
UP = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'"
TOLD = "SELECT count(*) = 1 FROM fleet_events WHERE type = $1"


@asynccontextmanager
async def fleet_in(room: Network) -> AsyncIterator[list[str]]:
    """Run servers in a network; lend their URLs."""
    process = await asyncio.create_subprocess_exec(
        *room.inside(sys.executable, "-m", "tests.fakes.fleet", "--count", str(SERVERS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int((await process.stdout.readline()).split()[1])
        yield [f"http://{fleet.address(number)}:{port}" for number in range(SERVERS)]
    finally:
        process.terminate()
        await process.communicate()


async def test_a_monitor_without_its_network_says_so_once_and_takes_no_server_down(
    dsn: str, observer: Observer
) -> None:
    async with (
        network() as room,
        fleet_in(room) as urls,
        # The hold is two intervals: time enough to plug the cable in again, however busy the machine is.
        processes.running(dsn, room=room, OLLAMA_FLEET_CHECK_INTERVAL="4s") as daemon,
    ):
        for url in urls:
            await observer.add(url, url)
        await observer.until(WATCHED, SERVERS, within=30)
        await room.pull()
        await observer.until(TOLD, "monitor.isolated", within=30)
        await room.plug()
        await observer.until(TOLD, "monitor.recovered", within=30)
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until("SELECT min(last_checked_at) > $1 FROM ollama_servers", mark, within=30)
        assert await observer.value(UP, SERVERS)
        assert await daemon.terminate() == 0
    events = await fold.read_events(observer.connection)
    assert [each.type for each in events if each.type == "server.down"] == []
    isolated, recovered = (each for each in events if each.type.startswith("monitor."))
    assert isolated.body["cause"] in {"timeout", "connect_timeout", "unreachable"}
    assert isolated.body["of"] == SERVERS
    assert recovered.body["outage"] is False
    await observer.check_history()
