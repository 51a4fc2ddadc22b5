"""From the death of a server to `server.down` in a subscriber's hands; in the same run without the connection watch."""

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.benchmarks import stage
from tests.benchmarks.checks import ALL_SETTLED
from tests.fakes import fleet

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, $1) RETURNING id"
CHANNEL = "ollama_servers"
# Enough to see that it works.
SMOKE = (
    "--servers",
    "6",
    "--deaths",
    "3",
    "--processes",
    "1",
    "--reference-deaths",
    "1",
    "--interval",
    "2",
    "--pause",
    "0.1",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many servers there are and how many die."""
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--deaths", type=int, default=60)
    parser.add_argument("--processes", type=int, default=4, help="more deaths: by kill -9, of a process each")
    parser.add_argument("--reference-deaths", type=int, default=20, help="deaths with the connection watch off")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two checks of a server")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two deaths, on average")


class Deaths:
    """When which server died, and when a subscriber knew."""

    def __init__(self) -> None:
        self.died: dict[UUID, float] = {}
        self.known: dict[UUID, float] = {}

    def hear(self, *arguments: Any) -> None:
        """Take a notification."""
        payload = json.loads(arguments[-1])
        if payload["type"] == "server.down":
            self.known.setdefault(UUID(payload["server_id"]), time.perf_counter())

    def delays(self) -> list[float]:
        """Return how long it took, in milliseconds, for every death."""
        return [(self.known[server_id] - died) * 1000 for server_id, died in self.died.items()]

    async def all_known(self, within: float) -> None:
        """Wait until a subscriber knows of all deaths."""
        async with asyncio.timeout(within):
            while self.died.keys() - self.known.keys():  # noqa: ASYNC110  (another process's doing)
                await asyncio.sleep(0.01)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Let servers die without the watch, then with it."""
    without = await _measure(options, watch=False, deaths=options.reference_deaths, processes=0)
    held = await _measure(options, watch=True, deaths=options.deaths, processes=options.processes)
    return {
        "servers": options.servers,
        "interval_s": options.interval,
        "deaths": options.deaths + options.processes,
        **_spread("known_ms", held["delays"]),
        "kill_9_ms": [round(delay) for delay in held["delays"][options.deaths :]],
        **_spread("without_watch_ms", without["delays"]),
        "ratio_p50": round(stage.percentile(without["delays"], 0.5) / stage.percentile(held["delays"], 0.5), 1),
        "memory_mb_without_watch": round(without["memory_mb"], 1),
        "memory_mb": round(held["memory_mb"], 1),
        "memory_kb_per_watch": round(
            (held["memory_mb"] - without["memory_mb"]) * 1000 / (options.servers + options.processes), 1
        ),
    }


async def _measure(options: argparse.Namespace, *, watch: bool, deaths: int, processes: int) -> dict[str, Any]:
    count = options.servers
    environment = {
        "OLLAMA_FLEET_CHECK_INTERVAL": str(options.interval),
        "OLLAMA_FLEET_CHECK_TIMEOUT": "5",
        "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1h",
        "OLLAMA_FLEET_CONNECTION_WATCH": str(watch),
    }
    async with (
        stage.database() as dsn,
        stage.process("-m", "tests.fakes.fleet", "--count", str(count)) as servers,
        _single_servers(processes) as singles,
        stage.session(dsn) as connection,
        stage.session(dsn) as subscriber,
    ):
        port = int((await stage.line(servers))[1])
        ids = [await connection.fetchval(ADD, f"http://{fleet.address(number)}:{port}") for number in range(count)]
        single_ids = [await connection.fetchval(ADD, url) for url in singles]
        heard = Deaths()
        await subscriber.add_listener(CHANNEL, heard.hear)
        async with stage.process(
            "-m", "monitor", environment={**environment, "OLLAMA_FLEET_DATABASE_URL": dsn}
        ) as daemon:
            while not await connection.fetchval(ALL_SETTLED, count + processes):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            if watch:
                # One connection of the checks and one of the watch for each.
                await _until_open(daemon.pid, 2 * (count + processes))
            # Deaths come at any point of the interval, not just after all servers were checked at once.
            await asyncio.sleep(2)
            memory = stage.memory_mb(daemon.pid)
            await _let_die(servers, ids, heard=heard, deaths=deaths, pause=options.pause)
            for server_id, process in zip(single_ids, singles.values(), strict=True):
                heard.died[server_id] = time.perf_counter()
                process.kill()
                await process.wait()
            await heard.all_known(within=options.interval * 4)
    return {"delays": heard.delays(), "memory_mb": memory}


async def _let_die(
    servers: asyncio.subprocess.Process, ids: Sequence[UUID], *, heard: Deaths, deaths: int, pause: float
) -> None:
    """Let servers die one after the other; each comes back once its death is known.

    Without that, ever more of the fleet would be gone, and the monitor would come to doubt itself.
    """
    dead: set[int] = set()
    for index in random.sample(range(len(ids)), deaths):
        heard.died[ids[index]] = time.perf_counter()
        await stage.ask(servers, f"die {index}")
        dead.add(index)
        await asyncio.sleep(pause * 2 * random.random())
        for known in [each for each in dead if ids[each] in heard.known]:
            await stage.ask(servers, f"revive {known}")
            dead.discard(known)


@asynccontextmanager
async def _single_servers(count: int) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
    """Run servers that are a process each; lend them by their URLs."""
    async with AsyncExitStack() as stack:
        found: dict[str, asyncio.subprocess.Process] = {}
        for _ in range(count):
            process = await stack.enter_async_context(stage.process("-m", "tests.fakes.ollama"))
            found[f"http://127.0.0.1:{(await stage.line(process))[1]}"] = process
        yield found


async def _until_open(pid: int, descriptors: int) -> None:
    async with asyncio.timeout(120):
        while _descriptors(pid) < descriptors:  # noqa: ASYNC110  (another process's doing)
            await asyncio.sleep(0.1)


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _spread(name: str, delays: Sequence[float]) -> dict[str, int]:
    figures = {f"{name}_p{share}": round(stage.percentile(delays, share / 100)) for share in (50, 95, 99)}
    return {**figures, f"{name}_max": round(max(delays))}
