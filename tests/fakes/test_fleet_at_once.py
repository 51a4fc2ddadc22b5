"""Servers of a fleet that die at the same moment, as tests of mass deaths lean on it."""

import asyncio
import time

import pytest

from tests.benchmarks import stage
from tests.fakes.fleet import FakeFleet, address

LIMIT = 10


async def test_servers_that_die_at_once_end_their_connections_and_refuse_and_the_others_serve_on() -> None:
    async with FakeFleet(40) as fleet:
        streams = [await asyncio.open_connection(address(index), fleet.port) for index in range(40)]
        began = time.monotonic()
        moments = await fleet.die_at_once(*range(1, 40))
        assert began <= moments[0] <= moments[-1] <= time.monotonic()
        for reader, _ in streams[1:]:
            assert await asyncio.wait_for(reader.read(), LIMIT) == b""
        for index in range(1, 40):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(address(index), fleet.port)
        assert fleet.watched == 1
        await fleet.revive(*range(1, 40))
        streams += [await asyncio.open_connection(address(index), fleet.port) for index in range(1, 40)]
        for _, writer in streams:
            writer.close()


async def test_a_fleet_process_tells_when_each_server_died_by_the_clock_of_the_machine() -> None:
    async with stage.process("-m", "tests.fakes.fleet", "--count", "3") as process:
        _, port = await stage.line(process)
        _, writer = await asyncio.open_connection(address(0), int(port))
        async with asyncio.timeout(LIMIT):
            # The server learns of a connection only when it accepts it.
            while await stage.ask(process, "watched") != ["done", "1"]:
                pass
        began = time.monotonic()
        done, first, second = await stage.ask(process, "die_at_once 1 2")
        assert done == "done"
        assert began <= float(first) <= float(second) <= time.monotonic()
        assert await stage.ask(process, "revive 1 2") == ["done"]
        writer.close()
