"""From the death of a server to `server.down` in a subscriber's hands; in the same run without the connection watch.

With `--scenario` whole outages instead: servers that die one by one, all at once, or in a rolling restart.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.benchmarks import deaths, outages, stage
from tests.benchmarks.checks import ALL_SETTLED
from tests.benchmarks.deaths import Deaths
from tests.benchmarks.outages import ADD
from tests.benchmarks.victims import SingleServer
from tests.fakes import fleet

SINGLE, ALL = "single", "all"
SERVERS = 100
DEATHS = 60
PAUSE = 0.5
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
    """Say how many servers there are, how many die, and how."""
    parser.add_argument("--scenario", choices=(SINGLE, *outages.SCENARIOS, ALL), default=SINGLE)
    parser.add_argument("--servers", type=int, nargs="+", help=f"default {SERVERS}; for an outage {outages.SIZES}")
    parser.add_argument("--deaths", type=int, help=f"default {DEATHS}; for an outage {outages.DEATHS}")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two checks of a server")
    parser.add_argument(
        "--pause",
        type=float,
        help=f"seconds between two deaths, default {PAUSE} on average; in a rolling restart {outages.ROLLING_PAUSE}",
    )
    single = parser.add_argument_group("single")
    single.add_argument("--processes", type=int, default=4, help="more deaths: by kill -9, of a process each")
    single.add_argument("--reference-deaths", type=int, default=20, help="deaths with the connection watch off")
    outage = parser.add_argument_group("outages")
    outage.add_argument("--kill", type=int, default=12, help="most servers that are a process each, for kill -9")
    outage.add_argument("--within", type=float, default=30.0, help="seconds in which servers die one by one")
    outage.add_argument("--back-after", type=float, default=3.0, help="seconds until one is back in a rolling restart")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Let single servers die, or measure each outage that is asked for with each size of the fleet."""
    if options.scenario == SINGLE:
        return await _run_single(options)
    scenarios = tuple(outages.SCENARIOS) if options.scenario == ALL else (options.scenario,)
    sizes = options.servers or outages.SIZES
    cases = [await outages.measure(scenario, count, options) for scenario in scenarios for count in sizes]
    return {"scenario": options.scenario, "interval_s": options.interval, "cases": cases}


async def _run_single(options: argparse.Namespace) -> dict[str, Any]:
    """Let servers die without the watch, then with it."""
    sizes = options.servers or [SERVERS]
    if len(sizes) != 1:
        raise SystemExit("--scenario single measures one fleet: give --servers one number, or take another scenario")
    count = sizes[0]
    number = DEATHS if options.deaths is None else options.deaths
    without = await _measure(options, count, watch=False, number=options.reference_deaths, processes=0)
    held = await _measure(options, count, watch=True, number=number, processes=options.processes)
    return {
        "servers": count,
        "interval_s": options.interval,
        "deaths": number + options.processes,
        **deaths.spread("known_ms", held["delays"]),
        "kill_9_ms": [round(delay) for delay in held["delays"][number:]],
        **deaths.spread("without_watch_ms", without["delays"]),
        "ratio_p50": round(stage.percentile(without["delays"], 0.5) / stage.percentile(held["delays"], 0.5), 1),
        "memory_mb_without_watch": round(without["memory_mb"], 1),
        "memory_mb": round(held["memory_mb"], 1),
        "memory_kb_per_watch": round(
            (held["memory_mb"] - without["memory_mb"]) * 1000 / (count + options.processes), 1
        ),
    }


async def _measure(
    options: argparse.Namespace, count: int, *, watch: bool, number: int, processes: int
) -> dict[str, Any]:
    environment = {
        "OLLAMA_FLEET_CHECK_INTERVAL": str(options.interval),
        "OLLAMA_FLEET_CHECK_TIMEOUT": "5",
        "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1h",
        "OLLAMA_FLEET_CONNECTION_WATCH": str(watch),
    }
    async with (
        stage.database() as dsn,
        stage.process("-m", "tests.fakes.fleet", "--count", str(count)) as servers,
        AsyncExitStack() as stack,
        stage.session(dsn) as connection,
        stage.session(dsn) as subscriber,
    ):
        port = int((await stage.line(servers))[1])
        ids = [await connection.fetchval(ADD, f"http://{fleet.address(number)}:{port}") for number in range(count)]
        singles = [await SingleServer.start(stack) for _ in range(processes)]
        single_ids = [await connection.fetchval(ADD, single.url) for single in singles]
        heard = Deaths()
        await heard.follow(subscriber)
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
            await _let_die(
                servers, ids, heard=heard, number=number, pause=PAUSE if options.pause is None else options.pause
            )
            for server_id, single in zip(single_ids, singles, strict=True):
                heard.died[server_id] = time.monotonic()
                await single.die()
            await heard.all_known(within=options.interval * 4)
    return {"delays": heard.delays(), "memory_mb": memory}


async def _let_die(
    servers: asyncio.subprocess.Process, ids: Sequence[UUID], *, heard: Deaths, number: int, pause: float
) -> None:
    """Let servers die one after the other; each comes back once its death is known.

    Without that, ever more of the fleet would be gone, and the monitor would come to doubt itself.
    """
    dead: set[int] = set()
    for index in random.sample(range(len(ids)), number):
        heard.died[ids[index]] = time.monotonic()
        await stage.ask(servers, f"die {index}")
        dead.add(index)
        await asyncio.sleep(pause * 2 * random.random())
        for known in [each for each in dead if ids[each] in heard.known]:
            await stage.ask(servers, f"revive {known}")
            dead.discard(known)


async def _until_open(pid: int, descriptors: int) -> None:
    async with asyncio.timeout(120):
        while _descriptors(pid) < descriptors:  # noqa: ASYNC110  (another process's doing)
            await asyncio.sleep(0.1)


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
