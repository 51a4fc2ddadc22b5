"""Hosts to which there is no way, and one that vanishes while it is watched, in a network of the test's own."""

import asyncio
import shutil
import subprocess
import sys

import pytest

from monitor.domain.probe import Reason
from monitor.ollama import watch
from tests.fakes.network import Network, network

NOWHERE = "There is no route to the network of the host."


async def lonely(room: Network, *arguments: str) -> list[str]:
    """Run the program in the network; return its lines."""
    process = await asyncio.create_subprocess_exec(
        *room.inside(sys.executable, "-m", "tests.ollama.lonely", *arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().splitlines()


async def test_a_host_without_a_route_is_unreachable() -> None:
    async with network() as room:
        *far, near = await lonely(
            room, "probe", "http://10.1.2.3:11434", "http://[fd12::3]:11434", "http://127.0.0.1:9"
        )
        assert far == [f"{Reason.UNREACHABLE} {NOWHERE}"] * 2
        assert near.startswith(Reason.REFUSED)


@pytest.mark.parametrize(
    ("route", "outcome"),
    [
        ("unreachable", f"{Reason.UNREACHABLE} The host cannot be reached."),
        ("blackhole", f"{Reason.UNREACHABLE} The route to the host leads nowhere."),
        ("prohibit", f"{Reason.LOCAL} This machine does not permit the connection."),
    ],
)
async def test_a_route_that_refuses_has_its_reason(route: str, outcome: str) -> None:
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed (iproute2)")
    async with network() as room:
        subprocess.run(room.inside("ip", "route", "add", route, "10.0.0.0/8"), check=True)  # noqa: ASYNC221  (short)
        assert await lonely(room, "probe", "http://10.1.2.3:11434") == [outcome]


async def test_the_watch_ends_when_the_host_vanishes_without_a_word(pytestconfig: pytest.Config) -> None:
    in_life = [str(value) for _, value in watch.KEEPALIVE]
    settings = in_life if pytestconfig.getoption("--long") else ["1", "1", "1", "1000"]
    async with network() as room:
        (outcome,) = await lonely(room, "watch", *settings)
    ending, seconds = outcome.split()
    assert ending == "silent"
    assert float(seconds) >= int(settings[0])
