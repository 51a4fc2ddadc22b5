"""A big fleet, some of it hanging: how late checks start, what the daemon costs, how soon a new fleet is known."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from monitor.postgres.database import Connection
from tests.benchmarks import stage
from tests.fakes import fleet

# Enough to see that it works.
SMOKE = ("--servers", "20", "--models", "2", "--interval", "1", "--seconds", "3")

PER_PROCESS = 4000
ADD = """
INSERT INTO ollama_servers (name, url)
SELECT url, url FROM unnest($1::text[]) AS given (url)
"""
CHECKED = "SELECT count(*) >= $1 FROM ollama_servers WHERE last_checked_at IS NOT NULL"
LISTED = "SELECT count(*) >= $1 FROM ollama_servers WHERE models_listed_at IS NOT NULL"
PLANNED = "SELECT id, next_check_at FROM ollama_servers WHERE status = 'up'"
# When the check that was planned for next_check_at began, as far as it has been recorded.
BEGAN = """
SELECT id, extract(epoch FROM last_checked_at - latency_ms * interval '1 millisecond') AS began
FROM ollama_servers WHERE status = 'up' AND latency_ms IS NOT NULL
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is."""
    parser.add_argument("--servers", type=int, nargs="+", default=[1000], help="one fleet after the other")
    parser.add_argument("--models", type=int, default=20, help="models of each server")
    parser.add_argument("--hanging", type=float, default=0.05, help="share of the servers that never answer")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two checks of a server")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long it is watched once all is known")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure each fleet with a daemon of its own, and whether the cost grows with the number of servers alone."""
    runs = [await _measure(options, count) for count in options.servers]
    first, last = runs[0], runs[-1]
    return {
        "runs": runs,
        # 1.0: a server of the last fleet costs the processor what one of the first does.
        "cost_of_a_server_in_the_last_to_the_first": round(
            last["cores"] * first["servers"] / (first["cores"] * last["servers"]), 2
        ),
    }


async def _measure(options: argparse.Namespace, count: int) -> dict[str, Any]:
    """Add all servers at once to a daemon at work; then watch it at its regular pace."""
    hanging = int(count * options.hanging)
    answering = count - hanging
    environment = {
        "OLLAMA_FLEET_CHECK_INTERVAL": str(options.interval),
        "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1h",
    }
    async with stage.database() as dsn, stage.session(dsn) as connection, _fleet(options, count, hanging) as urls:
        environment["OLLAMA_FLEET_DATABASE_URL"] = dsn
        async with stage.process("-m", "monitor", environment=environment) as daemon:
            await _until(connection, "SELECT owner IS NOT NULL FROM monitor_leases")
            started = time.perf_counter()
            await connection.execute(ADD, urls)
            await _until(connection, CHECKED, answering)
            known = time.perf_counter() - started
            await _until(connection, LISTED, answering)
            listed = time.perf_counter() - started
            await asyncio.sleep(2 * options.interval)
            lags, cores, memory = await _watch(options, daemon, connection)
    return {
        "servers": count,
        "hanging": hanging,
        "all_answering_checked_s": round(known, 2),
        "all_listed_s": round(listed, 1),
        "start_lag_p50_s": round(stage.percentile(lags, 0.5), 3),
        "start_lag_p99_s": round(stage.percentile(lags, 0.99), 3),
        "checks_measured": len(lags),
        "cores": round(cores, 3),
        "memory_mb": round(memory),
    }


@asynccontextmanager
async def _fleet(options: argparse.Namespace, total: int, hanging: int) -> AsyncIterator[list[str]]:
    """Run as many processes as their descriptors ask for; yield all URLs, the hanging ones spread among them."""
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for first in range(0, total, PER_PROCESS):
            count = min(PER_PROCESS, total - first)
            arguments = ["--count", str(count), "--first", str(first), "--models", str(options.models)]
            servers = await stack.enter_async_context(stage.process("-m", "tests.fakes.fleet", *arguments))
            port = int((await stage.line(servers))[1])
            urls += [f"http://{fleet.address(number)}:{port}" for number in range(first, first + count)]
            step = max(1, total // hanging) if hanging else total + 1
            for index in range(0, count, step):
                await stage.ask(servers, f"hang {index}")
        yield urls


async def _watch(
    options: argparse.Namespace, daemon: asyncio.subprocess.Process, connection: Connection
) -> tuple[list[float], float, float]:
    """Return how late each check began after it was due, and the cores and megabytes that the daemon took."""
    planned = {row["id"]: row["next_check_at"].timestamp() for row in await connection.fetch(PLANNED)}
    before, began = stage.cpu_seconds(daemon.pid), time.perf_counter()
    lags: dict[Any, float] = {}
    while time.perf_counter() - began < options.seconds:
        await asyncio.sleep(min(2.0, options.interval / 3))
        for row in await connection.fetch(BEGAN):
            due = planned.get(row["id"])
            # The first check since the plan was read; by the next look it may have been followed by another.
            if due is not None and row["id"] not in lags and float(row["began"]) > due - 0.05:
                lags[row["id"]] = max(0.0, float(row["began"]) - due)
    cores = (stage.cpu_seconds(daemon.pid) - before) / (time.perf_counter() - began)
    return list(lags.values()), cores, stage.memory_mb(daemon.pid)


async def _until(connection: Connection, statement: str, *arguments: Any) -> None:
    async with asyncio.timeout(600):
        while not await connection.fetchval(statement, *arguments):  # noqa: ASYNC110  (another process's doing)
            await asyncio.sleep(0.05)
