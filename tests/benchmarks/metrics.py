"""What one scrape of /metrics costs the API, with a fleet of some size, and what it costs to be scraped often."""

import argparse
import asyncio
import contextlib
import os
import time
from typing import Any

import aiohttp

from tests.benchmarks import stage

ADD = """
INSERT INTO ollama_servers (name, url, status, latency_ms, last_checked_at)
SELECT 'server ' || n, 'http://server' || n, 'up', 2.5, now() FROM generate_series(1, $1::int) AS n
"""
ADD_MODELS = """
INSERT INTO ollama_models (server_id, name, model_name)
SELECT id, 'model ' || n, 'model ' || n FROM ollama_servers, generate_series(1, $1::int) AS n
"""
OFTEN = 10
# Enough to see that it works.
SMOKE = ("--servers", "5", "--models", "2", "--scrapes", "2")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, and how often it is scraped."""
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--scrapes", type=int, default=15)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Scrape at a pace at which each is worked out anew, then ten times as often."""
    async with stage.database() as dsn, stage.session(dsn) as connection:
        await connection.execute(ADD, options.servers)
        await connection.execute(ADD_MODELS, options.models)
        port = stage.free_port()
        environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
        url = f"http://127.0.0.1:{port}/metrics"
        async with (
            stage.process("-m", "api", environment=environment) as api,
            aiohttp.ClientSession() as session,
        ):
            await _begun(session, url)
            anew, size, times = await _scrape(session, url, api.pid, count=options.scrapes, pause=1.05)
            often, _, _ = await _scrape(session, url, api.pid, count=options.scrapes * OFTEN, pause=1.05 / OFTEN)
    return {
        "servers": options.servers,
        "models": options.servers * options.models,
        "bytes": size,
        "cpu_ms_per_scrape": round(anew * 1000 / options.scrapes, 1),
        "answer_ms_median": round(stage.percentile(times, 0.5) * 1000, 1),
        "cores_when_scraped_ten_times_a_second": round(often / (options.scrapes * 1.05), 3),
        "cpu_clock_tick_ms": 1000 / os.sysconf("SC_CLK_TCK"),
    }


async def _begun(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    await response.read()
                    return
            await asyncio.sleep(0.1)


async def _scrape(
    session: aiohttp.ClientSession, url: str, pid: int, *, count: int, pause: float
) -> tuple[float, int, list[float]]:
    """Return the CPU seconds of all scrapes, the bytes of one, and the time each took."""
    before, times, size = stage.cpu_seconds(pid), [], 0
    for _ in range(count):
        began = time.perf_counter()
        async with session.get(url) as response:
            size = len(await response.read())
        times.append(time.perf_counter() - began)
        await asyncio.sleep(pause)
    return stage.cpu_seconds(pid) - before, size, times
