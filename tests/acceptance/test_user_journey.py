"""The installed command as a user drives it: start, add a server, watch it die and come back, stop."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitor.embedded import postgres as embedded
from tests.embedded import embedded_user

COMMAND = Path(sys.executable).parent / "ollama-fleet"
LIMIT = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Journey:
    """One state folder, one API address, and the user's hands."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.port = free_port()
        self.environment = {
            **os.environ,
            "OLLAMA_FLEET_STATE_DIR": str(state_dir),
            "OLLAMA_FLEET_API_PORT": str(self.port),
            "OLLAMA_FLEET_CHECK_INTERVAL": "1s",
            "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1s",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            COMMAND, *arguments, env=self.environment, stdout=asyncio.subprocess.PIPE
        )

    async def say(self, *arguments: str) -> Any:
        """Run a command with --json and return what it printed."""
        process = await self.start(*arguments, "--json")
        printed, _ = await asyncio.wait_for(process.communicate(), LIMIT)
        assert process.returncode == 0, arguments
        return json.loads(printed)

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return await response.json()

    async def is_ready(self) -> bool:
        try:
            return bool((await self.get("/readyz"))["ready"])
        except aiohttp.ClientError:
            return False

    async def next_event(self, kind: str, *, after: int) -> dict[str, Any]:
        """Wait by long poll for the next event of a type."""
        async with asyncio.timeout(LIMIT):
            while True:
                page = await self.get(f"/api/events?after={after}&type={kind}&wait=10")
                if page["items"]:
                    found: dict[str, Any] = page["items"][0]
                    return found
                after = page["last_seq"]


@pytest.fixture
async def journey() -> AsyncIterator[Journey]:
    with embedded_user.state_dir() as state_dir:
        yield Journey(state_dir)


@asynccontextmanager
async def ollama(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server as a real process, to be killed as such."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.ollama", "--port", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"ready")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_user_starts_adds_a_server_sees_it_die_and_come_back_and_stops(
    journey: Journey, eventually: Callable[..., Awaitable[None]]
) -> None:
    port = free_port()
    fleet = await journey.start("up")
    try:
        await eventually(journey.is_ready, within=LIMIT, what="a ready API")
        async with ollama(port) as first:
            added = await journey.say("servers", "add", "gpu-1", f"http://127.0.0.1:{port}/")
            assert added["url"] == f"http://127.0.0.1:{port}"
            up = await journey.next_event("server.up", after=0)
            assert up["server_id"] == added["id"]
            first.kill()
            await first.wait()
            down = await journey.next_event("server.down", after=up["seq"])
            assert (down["body"]["from"], down["body"]["reason"]) == ("up", "refused")
        async with ollama(port):
            await journey.next_event("server.up", after=down["seq"])
            found = await journey.say("servers", "discover", "gpu-1")
            models = await journey.say("models", "gpu-1")
            assert len(models) == found["unchanged"] + len(found["added"]) > 0
            page = await journey.get("/api/servers?is_available=true")
            assert [server["name"] for server in page["items"]] == ["gpu-1"]
    finally:
        fleet.terminate()
        printed, _ = await asyncio.wait_for(fleet.communicate(), LIMIT)
    assert fleet.returncode == 0
    assert f"http://127.0.0.1:{journey.port}" in printed.decode()

    async def nothing_is_left() -> bool:
        return embedded.peek(journey.state_dir) is None

    await eventually(nothing_is_left, what="the end of PostgreSQL")
