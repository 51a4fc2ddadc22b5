"""The list of a big fleet over REST, beside a bare handler that answers the same bytes from memory."""

import argparse
import asyncio
import contextlib
import time
from typing import Any

import aiohttp

from tests.benchmarks import bare_handler, stage

ADD = """
INSERT INTO ollama_servers (name, url, status, latency_ms, labels, capabilities, server_version, last_checked_at)
SELECT 'server ' || n, 'http://server' || n, 'up', 2.5, '{"site": "berlin"}', '["gpu"]', '0.12.3', now()
FROM generate_series(1, $1::int) AS n
"""
# Enough to see that it works.
SMOKE = ("--servers", "5", "--requests", "3")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, and how often it is asked for."""
    parser.add_argument("--servers", type=int, default=1000, help="at most 1000, one page")
    parser.add_argument("--requests", type=int, default=100)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask for the whole list, ours and the bare one in turn."""
    port, bare_port = stage.free_port(), stage.free_port()
    ours, bare = (f"http://127.0.0.1:{one}/api/servers?limit={options.servers}" for one in (port, bare_port))
    async with stage.database() as dsn, stage.session(dsn) as connection:
        await connection.execute(ADD, options.servers)
        environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
        async with stage.process("-m", "api", environment=environment) as api, aiohttp.ClientSession() as session:
            body = await _first(session, ours)
            before, times, bare_times = stage.cpu_seconds(api.pid), [], []
            async with bare_handler.running(bare_port, "/api/servers", body):
                for _ in range(options.requests):
                    times.append(await _ask(session, ours))
                    bare_times.append(await _ask(session, bare))
            cpu = stage.cpu_seconds(api.pid) - before
    median, bare_median = stage.percentile(times, 0.5), stage.percentile(bare_times, 0.5)
    return {
        "servers": options.servers,
        "bytes": len(body),
        "answer_ms_median": round(median * 1000, 1),
        "answer_ms_p99": round(stage.percentile(times, 0.99) * 1000, 1),
        "cpu_ms": round(cpu * 1000 / options.requests, 1),
        "bare_handler_ms_median": round(bare_median * 1000, 1),
        "to_bare_handler": round(median / bare_median, 1),
    }


async def _first(session: aiohttp.ClientSession, url: str) -> bytes:
    """Wait until the API answers, and return what."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    return await response.read()
            await asyncio.sleep(0.1)


async def _ask(session: aiohttp.ClientSession, url: str) -> float:
    began = time.perf_counter()
    async with session.get(url) as response:
        await response.read()
        response.raise_for_status()
    return time.perf_counter() - began
