"""Checks per CPU-second of the daemon with the database written, and what a check costs the database."""

import argparse
import asyncio
import os
from typing import Any

import aiohttp

from monitor.postgres.database import Connection
from tests.benchmarks import peers, stage
from tests.fakes import fleet

STATISTICS = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal, xact_commit AS commits
FROM pg_stat_database WHERE datname = current_database()
"""
ALL_SETTLED = """
SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up' AND models_listed_at < now() - interval '1 second'
"""
ADD = """
INSERT INTO ollama_servers (name, url)
SELECT 'server ' || number, url FROM unnest($1::text[]) WITH ORDINALITY AS given (url, number)
"""
# Enough to see that it works.
SMOKE = ("--servers", "10", "--interval", "0.5", "--seconds", "2", "--settle", "0")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is and how long it is watched."""
    parser.add_argument("--servers", type=int, default=400)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two checks of a server")
    parser.add_argument("--seconds", type=float, default=15.0)
    # Sessions tell PostgreSQL's statistics of the first listings only when they have been idle for 10 s.
    parser.add_argument("--settle", type=float, default=12.0, help="seconds to wait before measuring")
    parser.add_argument("--peer", action="store_true", help=f"let {peers.BLACKBOX} and {peers.GATUS} do the same")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Watch a fleet for a while; then let a bare client ask the same questions."""
    count = options.servers
    async with (
        stage.database() as dsn,
        stage.process("-m", "tests.fakes.fleet", "--count", str(count)) as servers,
        stage.session(dsn) as connection,
    ):
        port = int((await stage.line(servers))[1])
        urls = [f"http://{fleet.address(number)}:{port}" for number in range(count)]
        await connection.execute(ADD, urls)
        environment = {
            "OLLAMA_FLEET_DATABASE_URL": dsn,
            "OLLAMA_FLEET_CHECK_INTERVAL": str(options.interval),
            "OLLAMA_FLEET_CHECK_TIMEOUT": "5",
            "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1h",
        }
        async with stage.process("-m", "monitor", environment=environment) as daemon:
            while not await connection.fetchval(ALL_SETTLED, count):  # noqa: ASYNC110  (another process's doing)
                await asyncio.sleep(0.2)
            await asyncio.sleep(options.settle)
            figures = await _watch(options, daemon, servers, connection)
        bare = await _bare_client(urls, options.seconds / 3)
        if options.peer:
            found = await peers.measure(urls, servers=servers, dsn=dsn, seconds=options.seconds)
            figures["peers"] = found
            figures["ratio_to_peers"] = {
                name: round(figures["checks_per_cpu_second"] / peer["checks_per_cpu_second"], 1)
                for name, peer in found.items()
                if isinstance(peer, dict)
            }
    figures["bare_client_requests_per_cpu_second"] = round(bare)
    figures["ratio_to_bare_client"] = round(figures["checks_per_cpu_second"] / bare, 2)
    return figures


async def _watch(
    options: argparse.Namespace,
    daemon: asyncio.subprocess.Process,
    servers: asyncio.subprocess.Process,
    connection: Connection,
) -> dict[str, Any]:
    async def reading() -> tuple[int, float, int, int]:
        checks = int((await stage.ask(servers, "asked /api/version"))[1])
        # The statistics of other sessions arrive when those are idle for a moment.
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        row = await connection.fetchrow(STATISTICS)
        assert row is not None
        return checks, stage.cpu_seconds(daemon.pid), int(row["wal"]), row["commits"]

    before = await reading()
    await asyncio.sleep(options.seconds)
    after = await reading()
    checks, cpu, wal, commits = (late - early for late, early in zip(after, before, strict=True))
    return {
        "servers": options.servers,
        "interval_s": options.interval,
        "checks": checks,
        "checks_per_cpu_second": round(checks / cpu),
        "cores": round(cpu / options.seconds, 2),
        "wal_bytes_per_check": round(wal / checks, 1),
        # The benchmark's own three statements are among them.
        "transactions_per_second": round((commits - 3) / options.seconds, 2),
        "memory_mb": round(stage.memory_mb(daemon.pid)),
    }


async def _bare_client(urls: list[str], seconds: float) -> float:
    """Return the requests per CPU-second of aiohttp alone, kept alive, on the loop of this process."""
    loop = asyncio.get_running_loop()
    done = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask_for_ever(url: str) -> None:
            nonlocal done
            while loop.time() < end:
                async with session.get(url + "/api/version") as response:
                    await response.read()
                done += 1

        end = loop.time() + seconds
        before = stage.cpu_seconds(os.getpid())
        await asyncio.gather(*(ask_for_ever(url) for url in urls[:50]))
        return done / (stage.cpu_seconds(os.getpid()) - before)
